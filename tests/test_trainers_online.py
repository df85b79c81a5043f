"""PPO, RLOO and GRPO as trainers: what a rollout knows, what a step does with it, and what keeps it in bounds."""

import pytest
import torch
from torch.testing import assert_close
from transformers import AutoModelForCausalLM

from accord.losses.advantages import rloo
from accord.policy.values import critic_of
from accord.rollout.conversation import converse
from accord.rollout.environment import TextGeneration, play_together, speaker
from accord.rollout.rewards import Function
from accord.rollout.sample import Sampler
from accord.trainers.base import AccordTrainer
from conftest import make_tiny_llama
from training_kit import ONLINE, early, farthest, make, make_tiny_reward_model, prompts, train, weights


class Watch:
    """Keeps the samples that a trainer shows."""

    def __init__(self):
        self.seen = []

    def __call__(self, step, samples):
        self.seen.append((step, samples))


def first(trainer, name):
    return next(record[name] for record in trainer.state.log_history if name in record)


def begun(kind, folder, tokenizer, **named):
    """A trainer with its first rollout at hand."""
    trainer = make(kind, folder, tokenizer, **named)
    trainer.prepare_references()
    trainer._begin_rollout(next(iter(trainer.get_train_dataloader())), 0)
    return trainer


# ---- A rollout


@pytest.mark.parametrize("kind", sorted(ONLINE))
@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_log_probs_of_a_rollout_are_the_models_own(kind, temperature, tmp_path, byte_tokenizer):
    """The sampler's, those of the scoring pass, and a plain forward a token at a time."""
    changes = {"beta": 0.1, "num_iterations": 2} if kind != "ppo" else {}
    trainer = begun(kind, tmp_path, byte_tokenizer, temperature=temperature, **changes)
    examples = [example for group in trainer._groups for example in group]
    assert len(examples) == 16
    for example in examples[::5]:
        prompt, completion = list(example.tree.prompt), list(example.tree.completions[0])
        with torch.no_grad():
            logits = trainer.model(torch.tensor([prompt + completion])).logits[0, len(prompt) - 1 : -1] / temperature
        truth = logits.log_softmax(-1).gather(1, torch.tensor(completion)[:, None])[:, 0]
        for name in ("sampled", "logps", "reference_logps"):  # before the first step the reference is the policy
            assert_close(example.tokens[name], truth, atol=1e-4, rtol=1e-4)


def test_advantages_are_the_rewards_less_the_others_mean(tmp_path, byte_tokenizer):
    """And a prompt's columns reach the reward, in the order of its completions."""
    watch = Watch()
    trainer = begun("rloo", tmp_path, byte_tokenizer, given={"on_rollout": watch})
    texts, rewards = [], []
    by_prompt = {row["prompt"]: row["wanted"] for row in prompts(12)}
    for group in trainer._groups:
        answers = [byte_tokenizer.decode(e.tree.completions[0], skip_special_tokens=True) for e in group]
        asked = byte_tokenizer.decode(group[0].tree.prompt)
        texts.append(asked)
        rewards.append(early([asked] * 4, answers, [by_prompt[asked]] * 4))
    expected = rloo(torch.tensor(rewards))
    found = torch.stack([torch.stack([e.tokens["advantages"][0] for e in group]) for group in trainer._groups])
    assert_close(found, expected)
    assert len(set(texts)) == 4
    ((step, samples),) = watch.seen
    assert step == 0
    assert [each["prompt"] for each in samples] == texts
    assert [each["reward"] for each in samples] == [row[0] for row in rewards]


@pytest.mark.parametrize("kind", sorted(ONLINE))
def test_the_first_rollout_has_no_kl_and_ratios_of_one(kind, tmp_path, byte_tokenizer):
    changes = {"kl_budget": 100.0, **({} if kind == "ppo" else {"beta": 0.1})}
    trainer = train(kind, tmp_path, byte_tokenizer, max_steps=1, **changes)
    assert first(trainer, "objective/kl" if kind == "ppo" else "kl") == 0.0
    assert first(trainer, "policy/approxkl_avg") == 0.0
    if kind == "ppo":
        assert first(trainer, "val/ratio") == 1.0
    else:
        assert first(trainer, "sampling/logp_difference") < 1e-5


def test_no_reference_is_asked_where_nothing_needs_one(tmp_path, byte_tokenizer):
    trainer = train("grpo", tmp_path, byte_tokenizer, max_steps=1)
    assert trainer._standing is None
    assert "kl" not in trainer.state.log_history[0]


# ---- A step


@pytest.mark.parametrize("kind", sorted(ONLINE))
def test_the_first_gradient_is_reinforces(kind, tmp_path, byte_tokenizer):
    """−Σ weight·A·∇log π over plain sequences, one at a time, by the model's own forward."""
    trainer = begun(kind, tmp_path, byte_tokenizer, max_grad_norm=0.0)
    examples = [example for group in trainer._groups for example in group]
    trainer.create_optimizer()
    trainer.objective = trainer._objectives[False]
    AccordTrainer.training_step(trainer, trainer.model, examples)
    named = {n: p for n, p in trainer.model.named_parameters() if "accord_critic" not in n}
    found = {n: p.grad.clone() for n, p in named.items()}
    trainer.model.zero_grad()
    tokens = sum(len(e.tree.completions[0]) for e in examples)
    for example in examples:
        prompt, completion = list(example.tree.prompt), list(example.tree.completions[0])
        logits = trainer.model(torch.tensor([prompt + completion])).logits[0, len(prompt) - 1 : -1]
        logps = logits.log_softmax(-1).gather(1, torch.tensor(completion)[:, None])[:, 0]
        scale = 1 / len(examples) if kind == "rloo" else 1 / tokens
        (-(example.tokens["advantages"] * logps).sum() * scale).backward()
    if kind == "ppo":  # the shared trunk learns of the values too, but V = 0·h has no gradient in h yet
        assert critic_of(trainer.model).weight.abs().sum() == 0
    for name, parameter in named.items():
        assert_close(found[name], parameter.grad, atol=2e-5, rtol=1e-3)


@pytest.mark.parametrize("kind", sorted(ONLINE))
@pytest.mark.parametrize("changes", [{"layout": "padded"}, {"layout": "packed"}, {"token_budget": 40}])
def test_how_a_batch_is_laid_out_and_cut_changes_nothing(kind, changes, tmp_path, byte_tokenizer):
    settings = {"max_steps": 3, "optim": "sgd", "learning_rate": 1e-2, "gradient_checkpointing": True}
    if kind != "ppo":
        settings |= {"beta": 0.1, "num_iterations": 2}
    one = train(kind, tmp_path / "one", byte_tokenizer, **settings)
    other = train(kind, tmp_path / "other", byte_tokenizer, **settings, **changes)
    assert farthest(weights(one), weights(other)) < 1e-5


def test_a_masked_completion_teaches_nothing(tmp_path, byte_tokenizer):
    """All are cut off here, so masking them leaves nothing to learn; and that is said."""
    settings = {"max_steps": 2, "max_completion_length": 2, "mask_truncated_completions": True}
    with pytest.raises(RuntimeError, match=r"no completion was better than the others .* mask_truncated_completions"):
        train("grpo", tmp_path, byte_tokenizer, **settings)


def test_rewards_that_are_all_alike_teach_nothing(tmp_path, byte_tokenizer):
    with pytest.raises(RuntimeError, match="no completion was better than the others"):
        train("rloo", tmp_path, byte_tokenizer, max_steps=2, beta=0.0, given={"reward_funcs": _same})


def _same(completions, **columns):
    return [1.0] * len(completions)


def test_a_missing_end_costs(tmp_path, byte_tokenizer):
    settings = {"max_steps": 1, "max_completion_length": 2}
    plain = train("ppo", tmp_path / "plain", byte_tokenizer, **settings)
    fined = train("ppo", tmp_path / "fined", byte_tokenizer, missing_eos_penalty=3.0, **settings)
    share = first(plain, "completions/clipped_ratio")
    assert share > 0.8
    assert first(fined, "objective/scores") == pytest.approx(first(plain, "objective/scores") - 3 * share, abs=1e-5)
    assert first(fined, "rewards/early/mean") == pytest.approx(first(plain, "rewards/early/mean"))


# ---- The reference


@pytest.mark.parametrize("lora", [False, True], ids=["full", "lora"])
def test_the_reference_stays_what_the_policy_was(lora, tmp_path, byte_tokenizer):
    """After some steps the logged KL is that of the policy from the model as it was loaded."""
    settings = {"max_steps": 3, "learning_rate": 1e-2, "lora": lora, "beta": 0.1}
    trainer = train("rloo", tmp_path, byte_tokenizer, **settings)
    trainer._begin_rollout(next(iter(trainer.get_train_dataloader())), 3)
    example = trainer._groups[0][0]
    untouched = make_tiny_llama(byte_tokenizer)
    prompt, completion = list(example.tree.prompt), list(example.tree.completions[0])
    with torch.no_grad():
        logits = untouched(torch.tensor([prompt + completion])).logits[0, len(prompt) - 1 : -1]
    truth = logits.log_softmax(-1).gather(1, torch.tensor(completion)[:, None])[:, 0]
    assert_close(example.tokens["reference_logps"], truth, atol=1e-4, rtol=1e-4)
    assert (example.tokens["logps"] - truth).abs().max() > 1e-2


def test_a_reference_of_ones_own(tmp_path, byte_tokenizer):
    given = {"ref_model": make_tiny_llama(byte_tokenizer, seed=1)}
    trainer = train("rloo", tmp_path, byte_tokenizer, max_steps=1, given=given)
    assert first(trainer, "kl") > 0.01


# ---- The critic


@pytest.mark.parametrize("critic", ["shared", "separate"])
def test_a_critic_learns_alone_first(critic, tmp_path, byte_tokenizer):
    given = {"critic": make_tiny_reward_model(byte_tokenizer, seed=2)} if critic == "separate" else {}
    settings = {"critic": critic, "given": given, "vf_coef": 1.0, "optim": "sgd", "weight_decay": 0.1}
    trainer = make("ppo", tmp_path, byte_tokenizer, max_steps=4, critic_warmup_steps=4, **settings)
    before = weights(trainer)
    trainer.train()
    after = weights(trainer)
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert moved
    assert all("accord_critic" in name for name in moved)


@pytest.mark.parametrize("critic", ["shared", "separate"])
def test_what_is_saved_is_a_language_model(critic, tmp_path, byte_tokenizer):
    given = {"critic": make_tiny_reward_model(byte_tokenizer, seed=2)} if critic == "separate" else {}
    trainer = train("ppo", tmp_path, byte_tokenizer, max_steps=2, critic=critic, given=given)
    trainer.save_model(str(tmp_path / "final"))
    saved, info = AutoModelForCausalLM.from_pretrained(tmp_path / "final", output_loading_info=True)
    assert not any(info.values())
    policy = {n: p for n, p in trainer.model.named_parameters() if "accord_critic" not in n}
    assert farthest(dict(saved.named_parameters()), policy) == 0
    assert critic_of(trainer.model) is not None


def test_values_of_a_separate_critic_are_those_of_its_model(tmp_path, byte_tokenizer):
    """V before each token, read where a reward model reads the score of the text up to there."""
    model = make_tiny_reward_model(byte_tokenizer, seed=2)
    trainer = begun("ppo", tmp_path, byte_tokenizer, critic="separate", given={"critic": model})
    example = trainer._groups[0][0]
    prompt, completion = list(example.tree.prompt), list(example.tree.completions[0])
    with torch.no_grad():
        hidden = model.model(torch.tensor([prompt + completion])).last_hidden_state[0, len(prompt) - 1 : -1]
        truth = model.score(hidden)[:, 0]
    assert_close(example.tokens["values"], truth, atol=1e-5, rtol=1e-4)


def test_a_critic_that_begins_as_the_reward_model_leaves_it_as_it_is(tmp_path, byte_tokenizer):
    model = make_tiny_reward_model(byte_tokenizer, seed=2)
    before = {name: weight.clone() for name, weight in model.named_parameters()}
    given = {"reward_funcs": model, "reward_processing_classes": byte_tokenizer, "critic": model}
    trainer = make("ppo", tmp_path, byte_tokenizer, critic="separate", given=given, max_steps=2)
    begun = weights(trainer)
    trainer.train()
    assert farthest(dict(model.named_parameters()), before) == 0
    assert any("accord_critic" in name and not torch.equal(begun[name], w) for name, w in weights(trainer).items())


# ---- Brakes


def test_training_ends_over_the_kl_budget(tmp_path, byte_tokenizer):
    settings = {"learning_rate": 3e-2, "num_train_epochs": 30, "kl_budget": 0.5}
    trainer = train("rloo", tmp_path, byte_tokenizer, **settings)
    found = [record["kl_per_completion"] for record in trainer.state.log_history if "kl_per_completion" in record]
    assert trainer.state.global_step < 90
    assert found[-1] > 0.5
    assert all(kl <= 0.5 for kl in found[:-1])
    assert "over kl_budget 0.5" in trainer.stopped


def test_the_coefficient_follows_its_target(tmp_path, byte_tokenizer):
    settings = {"max_steps": 4, "kl_target": 1e-4, "kl_horizon": 16, "learning_rate": 1e-2}
    trainer = train("ppo", tmp_path, byte_tokenizer, **settings)
    logged = [r["objective/kl_coef"] for r in trainer.state.log_history if "objective/kl_coef" in r]
    assert logged[0] == pytest.approx(0.05)
    assert trainer.coefficient == pytest.approx(0.05 * 0.8 * 1.2, rel=1e-6)  # no KL at first, then far over the target


def test_heads_that_disagree_cost(tmp_path, byte_tokenizer):
    model = make_tiny_reward_model(byte_tokenizer, heads=3)
    logged = []
    for penalty in (0.0, 2.0):
        given = {"reward_funcs": model, "reward_processing_classes": byte_tokenizer}
        trainer = train("rloo", tmp_path / str(penalty), byte_tokenizer, max_steps=1, given=given,
                        disagreement_penalty=penalty)  # fmt: skip
        logged.append(trainer.state.log_history[0])
    plain, fined = logged
    assert fined["rewards/reward_model/disagreement/mean"] > 0.01
    assert fined["reward"] == pytest.approx(
        plain["reward"] - 2 * plain["rewards/reward_model/disagreement/mean"], abs=1e-5
    )


# ---- Several turns


def again(messages):
    """Replies until the model has spoken twice."""
    return {"role": "user", "content": "and?"} if sum(m["role"] == "assistant" for m in messages) < 2 else None


def chats(n):
    return [{"prompt": [{"role": "user", "content": f"Say {i}"}]} for i in range(n)]


def spoken(prompts, completions, **columns):
    """Counts in both turns; and sees the reply between them."""
    assert all([m["role"] for m in c] == ["assistant", "user", "assistant"] for c in completions)
    return [sum(letter < "n" for m in c[::2] for letter in m["content"]) / 4 for c in completions]


@pytest.mark.parametrize("kind", sorted(ONLINE))
def test_an_environment_that_answers(kind, tmp_path, byte_tokenizer):
    given = {"reply": again, "reward_funcs": spoken}
    trainer = begun(kind, tmp_path, byte_tokenizer, rows=chats(8), given=given, max_length=512)
    assert [len(group) for group in trainer._groups] == [8] * 4  # four episodes of two turns
    one, two = trainer._groups[0][:2]
    said = byte_tokenizer.decode(one.tree.completions[0], skip_special_tokens=True)
    assert f"assistant\n{said}" in byte_tokenizer.decode(two.tree.prompt)
    assert "and?" in byte_tokenizer.decode(two.tree.prompt)
    if kind != "ppo":  # a token is as good as its episode
        assert one.tokens["advantages"][0] == two.tokens["advantages"][0]
    whole = train(kind, tmp_path / "run", byte_tokenizer, rows=chats(8), given=given, max_length=512, max_steps=2)
    assert whole.state.global_step == 2


def test_conversations_are_the_environments_episodes(byte_tokenizer):
    """Greedy, so that there is one thing to say."""
    sampler, settings = (
        Sampler(make_tiny_llama(byte_tokenizer), byte_tokenizer),
        {"max_new_tokens": 6, "temperature": 0},
    )
    rows = chats(3)
    source = Function(spoken)
    found = converse(sampler, [row["prompt"] for row in rows], n=2, reply=again, **settings)
    worlds = [TextGeneration(rows, source, reply=again) for _ in rows]
    episodes = play_together(worlds, speaker(sampler, **settings), seeds=range(3))
    for i, episode in enumerate(episodes):
        for each in found[2 * i : 2 * i + 2]:
            assert [*rows[i]["prompt"], *each.said] == episode.last
            assert [t.action.tokens for t in episode.transitions] == [turn.tokens for turn in each.turns]


# ---- Bad input


@pytest.mark.parametrize(
    ("kind", "changes", "said"),
    [
        ("rloo", {"num_generations": 1}, "group size 1"),
        ("grpo", {"num_generations": 5}, "num_generations 5: make it a multiple"),
        ("ppo", {"max_completion_length": 96}, "no room for a prompt"),
        ("grpo", {"scale_rewards": "std"}, "scale_rewards is 'std': use group, batch or none"),
        ("ppo", {"cliprange": 2.0}, "cliprange is 2.0"),
        ("rloo", {"temperature": 0.0}, "temperature is 0.0: use a positive number"),
        ("rloo", {"gradient_accumulation_steps": 2, "steps_per_generation": 3}, "a multiple of gradient_accumulation"),
        ("rloo", {"rows": 3}, "3 train prompts are less than one rollout of 4"),
        ("rloo", {"rows": [{"id": "x", "completion": "y"}]}, "train row x: no prompt"),
        ("rloo", {"given": {"reward_funcs": []}}, "nothing gives a reward"),
        ("rloo", {"given": {"reward_funcs": 3}}, "a int gives no rewards"),
        ("rloo", {"given": {"critic": "x"}}, "RLOOTrainer has no critic"),
        ("rloo", {"reward_weights": [1.0, 2.0]}, "2 weights for 1 sources"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(kind, changes, said, tmp_path, byte_tokenizer):
    with pytest.raises(Exception, match=said) as caught:
        make(kind, tmp_path, byte_tokenizer, **changes).get_train_dataloader()
    assert "\n" not in str(caught.value)


def test_a_reward_that_is_no_number_stops_the_run(tmp_path, byte_tokenizer):
    given = {"reward_funcs": lambda completions, **columns: [float("nan")] * len(completions)}
    with pytest.raises(Exception, match="as the reward of completion 0"):
        train("rloo", tmp_path, byte_tokenizer, given=given)


def test_prompts_that_are_too_long_are_left_out_and_counted(tmp_path, byte_tokenizer, caplog):
    rows = [*prompts(8), {"id": "long", "prompt": "x" * 200}]
    trainer = make("rloo", tmp_path, byte_tokenizer, rows=rows)
    assert len(trainer.train_examples) == 8
    assert "left out 1 of 9 train prompts of more than 88 tokens" in caplog.text
