"""Kahneman–Tversky Optimization: from single completions that people want or do not want."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from accord.losses import dpo, kto
from accord.trainers import rows
from accord.trainers.base import AccordTrainer
from accord.trainers.config import AccordConfig
from accord.trainers.examples import Example, stable_hash
from accord.trainers.objective import Method, Objective, Preview, Previewed, mean
from accord.trainers.scored import Scored
from accord.tree import PromptTree


@dataclass
class KTOConfig(AccordConfig):
    """Configuration of `KTOTrainer`; defaults are TRL's."""

    beta: float = field(
        default=0.1, metadata={"help": "How fast value saturates with the log-ratio: β of the KTO loss."}
    )
    loss_type: str = field(default="kto", metadata={"help": "The loss: `kto`."})
    desirable_weight: float = field(default=1.0, metadata={"help": "λ_D: weight of desirable outputs."})
    undesirable_weight: float = field(default=1.0, metadata={"help": "λ_U: weight of undesirable outputs."})
    prompt_group_size: int = field(
        default=2,
        metadata={"help": "Examples of one prompt that are drawn together, so that its tokens are computed once."},
    )

    def __post_init__(self):
        super().__post_init__()
        if self.loss_type not in LOSSES:
            raise ValueError(f"loss_type is {self.loss_type!r}: use one of {', '.join(LOSSES)}")
        for name in ("beta", "desirable_weight", "undesirable_weight"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} is {getattr(self, name)}: use a positive number")


LOSSES = {"kto": kto.logistic}


def objective(config: KTOConfig, examples: Sequence[Example]) -> Objective:
    """KTO's loss and TRL's metrics for it."""
    loss, beta = LOSSES[config.loss_type], config.beta

    def losses(scored: Scored):
        return loss(
            scored.logratios_EK[:, 0],
            scored.preview_EP[:, 0],
            p_desirable=scored.p_E,
            beta=beta,
            desirable_weight=config.desirable_weight,
            undesirable_weight=config.undesirable_weight,
        )

    def metrics(scored: Scored, losses_E):
        rewards = dpo.rewards(scored.logratios_EK, beta)[:, 0]
        logps, want = scored.logps_EK[:, 0], scored.p_E * (scored.weight_E > 0)
        do_not = (1 - scored.p_E) * (scored.weight_E > 0)
        return {
            "rewards/chosen": mean(rewards, want),
            "rewards/rejected": mean(rewards, do_not),
            "logps/chosen": mean(logps, want),
            "logps/rejected": mean(logps, do_not),
            "kl": mean(scored.preview_EP[:, 0]),
        }

    def derived(means: dict[str, float]) -> dict[str, float]:
        if not {"rewards/chosen", "rewards/rejected"} <= means.keys():  # all that was drawn was wanted, or nothing
            return {}
        return {"rewards/margins": means["rewards/chosen"] - means["rewards/rejected"]}

    def mismatched(examples: Sequence[Example]) -> list[Example]:
        return mismatch(examples, config.seed, config.max_length)

    def z0(batch: Previewed):
        ratios = batch.logratios_EK[:, 0]
        return kto.kl_reference_point(ratios.sum(), len(ratios)).expand(len(ratios), 1)

    return Objective(losses, lambda example: 1.0, metrics, derived=derived, preview=Preview(z0, mismatched))


def mismatch(examples: Sequence[Example], seed: int, max_length: int | None = None) -> list[Example]:
    """For each example, its prompt with the completion of another prompt's example: y' of the KL estimate.

    Which one is decided by content and seed alone: not by the order of the data nor by the batch, so that data can be
    shuffled, a batch of one has its estimate, and the reference's log-prob of the pair is computed once. A pair that
    is longer than `max_length` is cut at its end.
    """
    ring = sorted(examples, key=lambda e: stable_hash(seed, e.tree.prompt, e.tree.completions[0]))
    prompts = [tuple(example.tree.prompt) for example in ring]
    if len(set(prompts)) < 2:
        raise ValueError(
            "KTO's reference point needs completions of other prompts, but all examples have the same prompt: "
            "add prompts (also to eval_dataset)"
        )
    start = next(place for place in range(len(ring)) if prompts[place - 1] != prompts[place])
    pairs: dict[int, Example] = {}
    for place in range(start - 1, start - 1 - len(ring), -1):  # backwards, from where the prompt changes
        if prompts[place] != prompts[place + 1]:
            other = ring[place + 1].tree.completions[0]
        room = None if max_length is None else max_length - len(prompts[place])
        pairs[id(ring[place])] = Example(ring[place].id, PromptTree(ring[place].tree.prompt, [other[:room]]))
    return [pairs[id(example)] for example in examples]


class KTOTrainer(AccordTrainer):
    """Trains on rows of `prompt`, `completion` and `label` (or `p_desirable` in [0, 1]), and optionally `weight`.

    Constructs like TRL's. Preference rows are taken apart into a desirable and an undesirable example.
    """

    method = Method(KTOConfig, ("completion",), "p_desirable", rows.unpaired, objective)
