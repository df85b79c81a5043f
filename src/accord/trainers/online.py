"""The one trainer of methods that learn from their own samples: rollout, rewards, advantages, then a few steps."""

import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn
from transformers.trainer_utils import speed_metrics

from accord.losses.advantages import Credit, adapted
from accord.policy.values import attach, critic_of, without_critic
from accord.rollout.choice import sample_key
from accord.rollout.conversation import Reply
from accord.rollout.sample import Sampler
from accord.rollout.sources import RewardLike, reward_models, source_of
from accord.trainers.base import AccordTrainer
from accord.trainers.critics import critic_for
from accord.trainers.episodes import Episode, packed_state, shown, unpacked_state
from accord.trainers.examples import EpochLoader, Example
from accord.trainers.experience import Advantages, Experience, learnable
from accord.trainers.objective import Metric
from accord.trainers.online_config import OnlineConfig
from accord.trainers.online_metrics import Names, explained_variance, named, rollout_facts
from accord.trainers.online_objective import online_objective
from accord.trainers.prompts import Prompt, Repeated, prompts_of
from accord.trainers.rollouts import WithRollouts
from accord.tree import PromptTree

log = logging.getLogger(__name__)


class Online(NamedTuple):
    """All in which one method that samples differs from another, beside its configuration.

    advantages  how good each token was: from the rollout, the configuration and the KL coefficient
    names       what is logged under which name
    critic      whether there is a critic
    """

    advantages: Advantages
    names: Names
    critic: bool = False


class OnlineTrainer(WithRollouts, AccordTrainer):
    """Base of `PPOTrainer`, `RLOOTrainer` and `GRPOTrainer`.

    reward_funcs   what rewards: one of, or several of, a Python function in TRL's form, a reward model (its folder,
                   name, or itself) and a source of `accord.rollout.rewards`
    train_dataset, eval_dataset   rows with `prompt`, a text or messages; further columns go to the rewards
    reply          answers the model's messages (a tool, a simulated user): the episode then goes on, up to `args.turns`
    critic         PPO's, see there
    on_rollout     called on the main process with the optimizer step and a few samples of each rollout, as dicts

    For the rest see `AccordTrainer`.
    """

    online: ClassVar[Online]

    @property
    def has_critic(self) -> bool:  # type: ignore[override]
        return self.online.critic

    def __init__(
        self,
        model: Any,
        reward_funcs: RewardLike | Sequence[RewardLike],
        args: OnlineConfig | None = None,
        train_dataset: Iterable[Mapping[str, Any]] | None = None,
        eval_dataset: Iterable[Mapping[str, Any]] | None = None,
        processing_class: Any = None,
        reward_processing_classes: Any = None,
        callbacks: Any = None,
        optimizers: Any = (None, None),
        peft_config: Any = None,
        *,
        ref_model: nn.Module | None = None,
        critic: nn.Module | str | None = None,
        reply: Reply | None = None,
        on_rollout: Callable[[int, list[dict[str, Any]]], None] = lambda step, samples: None,
        **named: Any,
    ) -> None:
        super().__init__(
            model,
            ref_model,
            args,
            None,
            train_dataset,
            eval_dataset,
            processing_class,
            callbacks=callbacks,
            optimizers=optimizers,
            peft_config=peft_config,
            **named,
        )
        args = self.args
        if self._sharded:
            raise ValueError(
                "FSDP and DeepSpeed: sampling needs all weights in each process: use DDP (accelerate launch), with "
                "LoRA where memory is short"
            )
        options = {"max_length": args.max_length, "bf16": bool(args.bf16), "token_budget": args.token_budget}
        self.source = source_of(
            reward_funcs,
            args.reward_weights,
            tokenizers=reward_processing_classes,
            disagreement_penalty=args.disagreement_penalty,
            options=options,
        )
        for each in reward_models(self.source):
            each.model.to(self.accelerator.device)
        if critic is not None and not self.online.critic:
            raise ValueError(f"{type(self).__name__} has no critic: the group is its baseline")
        if self.online.critic:
            attach(self.model, critic_for(self.model, critic, args).to(self.accelerator.device))
        self.sampler = Sampler(self.model, self.tokenizer)
        self.reply, self.on_rollout = reply, on_rollout
        self.coefficient, self.episodes, self.stopped = args.kl_coefficient, 0, ""
        self._objectives = {warming: online_objective(args, self.online.names, warming) for warming in (False, True)}
        self._groups: list[list[Example]] = []  # of the rollout at hand: each prompt's examples
        self._differed = False  # whether any completion was better or worse than expected

    # ---- Data

    def prepare(self, dataset: Iterable[Mapping[str, Any]], name: str) -> list[Prompt]:
        longest = None if self.args.max_length is None else self.args.max_length - self.args.max_completion_length
        return prompts_of(dataset, name, self.tokenizer, longest, self.progress)

    def get_train_dataloader(self) -> EpochLoader:
        """Each rollout's prompts, as often as it is trained on. Prompts that do not fill a rollout wait for an epoch
        in another order."""
        completions = self.optimizer_batch * self.accelerator.num_processes * self.args.mini_batches
        prompts = completions // self.args.num_generations
        batches = self._divided(range(len(self.train_examples)), prompts, drop_last=True)
        if not len(batches):
            raise ValueError(
                f"{len(self.train_examples)} train prompts are less than one rollout of {prompts}: raise "
                "num_generations, or lower per_device_train_batch_size or the number of batches in a rollout"
            )
        return EpochLoader(self.train_examples, batch_sampler=Repeated(batches, self.args.updates), collate_fn=list)

    @property
    def _idle_example(self) -> Example:
        """For a process without examples: any text, which counts nothing."""
        ids = (self.train_examples or self.eval_examples)[0].tree.prompt
        columns = dict.fromkeys(COLUMNS, torch.zeros(1))
        return Example("", PromptTree(ids, [ids[:1]]), numbers={"inside": 0.0, "units": 0.0}, tokens=columns)

    def _first_trees(self) -> list[PromptTree]:
        prompts = [each.tree.prompt for each in (self.train_examples or self.eval_examples)[:2]]
        return [PromptTree(ids, [ids[:32], ids[-32:]]) for ids in prompts]

    # ---- A rollout

    def training_step(self, model: nn.Module, inputs: list[Prompt], num_items_in_batch=None) -> Tensor:  # type: ignore[override]
        """One optimizer batch of the rollout at hand; a new rollout where that one was trained on."""
        step = self.state.global_step
        if step % self.args.updates == 0:
            self._begin_rollout(inputs, step)
        began = time.perf_counter()
        self.objective = self._objectives[step < getattr(self.args, "critic_warmup_steps", 0)]
        loss = super().training_step(model, self._batch(step % self.args.updates), num_items_in_batch)
        if self.objective is self._objectives[True]:
            for parameter in self._policy_parameters():
                parameter.grad = None  # or weight decay and momentum would move it
        self._means.add({"time/update": self._once(time.perf_counter() - began)}, 1.0)
        return loss

    def _policy_parameters(self) -> list[nn.Parameter]:
        with without_critic(self.model):
            return list(self.model.parameters())

    def _begin_rollout(self, prompts: Sequence[Prompt], step: int) -> None:
        """Samples, rewards, and finds advantages; all processes then know the whole rollout."""
        began = time.perf_counter()
        told = self.play(prompts, seed=sample_key(self.args.seed, step), n=self.args.num_generations)
        experience = self.experience(told)
        credit = self.online.advantages(experience, self.args, self.coefficient)
        self._groups = self._learnable(told, experience, credit)
        self.episodes += len(told)
        seconds = time.perf_counter() - began
        facts = rollout_facts(told, experience, self.coefficient)
        known = {**facts, "episodes": self.episodes, "time/rollout": seconds}
        if experience.values_N is not None and credit.returns_N is not None:
            known["explained_variance"] = explained_variance(experience.values_N, credit.returns_N)
        if self.args.surrogate().beta:  # each step logs the KL that is in its loss
            del known["kl_per_token"]
        self._means.add({name: self._once(fact) for name, fact in named(self.online.names, known).items()}, 1.0)
        self._brake(facts.get("kl", 0.0), step)
        if self.is_world_process_zero():
            self.on_rollout(step, shown(told))

    def _learnable(self, told: Sequence[Episode], experience: Experience, credit: Credit) -> list[list[Example]]:
        """Each prompt's examples, with what their loss needs."""
        turns = [[(example.id, example.tree) for example in episode.examples] for episode in told]
        sampled_N = torch.cat([episode.columns()["sampled"] for episode in told])
        finished_E = torch.tensor([float(episode.finished) for episode in told])
        groups: list[list[Example]] = [[] for _ in range(told[-1].position + 1)]
        found = learnable(experience, credit, self.args, turns, finished_E, {"sampled": sampled_N})
        for episode, examples in zip(told, found, strict=True):
            groups[episode.position] += examples
            self._differed |= any(e.numbers["inside"] and e.tokens["advantages"].any() for e in examples)
        return groups

    def _batch(self, index: int) -> list[Example]:
        """This process's share of the optimizer batch number `index` of the rollout."""
        iteration, batch = divmod(index, self.args.mini_batches)
        prompts = len(self._groups)
        draw = torch.Generator().manual_seed(sample_key(self.args.seed, self.episodes, iteration) & (2**63 - 1))
        order = torch.randperm(prompts, generator=draw).tolist() if self.args.mini_batches > 1 else list(range(prompts))
        size = prompts // self.args.mini_batches
        mine = order[batch * size : (batch + 1) * size]
        rank, processes = self.accelerator.process_index, self.accelerator.num_processes
        return [example for place in mine if place % processes == rank for example in self._groups[place]]

    def _brake(self, kl: float, step: int) -> None:
        """Lets the KL coefficient follow its target, and ends training over its budget. `kl`: nats a completion."""
        args = self.args
        if args.kl_horizon_gain is not None:
            self.coefficient = adapted(self.coefficient, kl, target=args.kl_target, gain=args.kl_horizon_gain)
        if args.kl_budget is not None and kl > args.kl_budget:
            self.stopped = f"the KL from the reference is {kl:.2f} nats a completion, over kl_budget {args.kl_budget:g}"
            log.warning("training ends after step %d: %s", step + 1, self.stopped)
            self.control.should_training_stop = True

    def _once(self, value: float) -> Metric:
        """A number that all processes know alike."""
        return Metric(*torch.tensor([value, 1.0], device=self.accelerator.device))

    def _why_nothing(self) -> str:
        if self._differed:
            return super()._why_nothing()
        return (
            "no completion was better than the others of its prompt, or all that were are masked: look at the rewards, "
            "sample more (num_generations, temperature), or leave out mask_truncated_completions"
        )

    # ---- Checkpoints

    def own_state(self) -> dict[str, Tensor]:
        """The critic, the KL coefficient, and what is left of the rollout at hand."""
        state = super().own_state() | {
            "coefficient": torch.tensor(self.coefficient, dtype=torch.float64),
            "episodes": torch.tensor(self.episodes),
        }
        critic = critic_of(self.model)
        if critic is not None:
            state |= {CRITIC + name: weight.detach().contiguous() for name, weight in critic.state_dict().items()}
        return state | (packed_state(self._groups) if self.state.global_step % self.args.updates else {})

    def load_own_state(self, state: Mapping[str, Tensor]) -> None:
        if "coefficient" not in state:
            raise ValueError("the checkpoint has no state of rollouts: resume with the method of its run")
        self.coefficient, self.episodes = float(state["coefficient"]), int(state["episodes"])
        critic = critic_of(self.model)
        if critic is not None:
            saved = {name.removeprefix(CRITIC): weight for name, weight in state.items() if name.startswith(CRITIC)}
            critic.load_state_dict(saved)
        self._groups = unpacked_state(state)

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        with without_critic(self.model):
            super()._save(output_dir, state_dict)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        with without_critic(self.model):
            super()._load_from_checkpoint(resume_from_checkpoint, model)

    def _load_best_model(self) -> None:
        with without_critic(self.model):
            super()._load_best_model()

    # ---- Evaluation

    def evaluate(self, eval_dataset=None, ignore_keys=None, metric_key_prefix: str = "eval") -> dict[str, float]:
        """Reward, KL and lengths of completions of each prompt of `eval_dataset`, always with the same seed."""
        if eval_dataset is not None and eval_dataset is not self.eval_dataset:
            raise ValueError("evaluate other prompts with `accord compare`: the trainer prepared its own eval_dataset")
        if not self.eval_examples:
            raise ValueError("there is no eval_dataset: give the trainer one")
        began = time.time()
        self.prepare_references()
        mine = self.eval_examples[self.accelerator.process_index :: self.accelerator.num_processes]
        n = self.args.num_generations_eval
        told = self.play(mine, seed=sample_key(self.args.seed, -1), n=n)
        facts = rollout_facts(told, self.experience(told)._replace(group=n), self.coefficient)
        metrics = {f"{metric_key_prefix}_{name}": value for name, value in named(self.online.names, facts).items()}
        metrics |= speed_metrics(metric_key_prefix, began, num_samples=len(told))
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics


#: What an example may know of its tokens.
COLUMNS = ("advantages", "returns", "values", "logps", "reference_logps", "sampled")
#: Prefix of the critic's weights in a checkpoint's own state.
CRITIC = "critic."
