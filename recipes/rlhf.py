"""From votes to a policy by reinforcement learning: what `accord rlhf` does, as a script to start your own from.

accord demo                                          # makes demo/accord.db: SmolLM2's answers, simulated votes
python recipes/rlhf.py                               # a reward model on them, then PPO on its scores
python recipes/rlhf.py my-votes.jsonl --model MODEL  # your file (any that `accord import` reads), your model
"""

import argparse

from peft import LoraConfig
from votes import DEMO, divided, votes_of

from accord.evaluation.rewards import reward_report
from accord.exchange.rows import preference_rows, prompt_rows
from accord.policy.reward_model import reward_rows
from accord.quality import pair_labels
from accord.trainers import PPOConfig, PPOTrainer, RewardConfig, RewardTrainer

options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
options.add_argument("votes", nargs="?", default=DEMO, help="a project's database, or a file of votes")
options.add_argument("--model", default="smollm2", help="a folder, or a name on the hub")
options.add_argument("--tokens", type=int, default=128, help="most tokens of an answer")
options.add_argument("--steps", type=int, default=-1, help="optimizer steps of each training; whole epochs if not said")
options.add_argument("--out", default="runs/recipe-rlhf")
told = options.parse_args()
votes = votes_of(told.votes)
labels = pair_labels(votes.comparisons, "dawid_skene", annotators=votes.annotators)
shared = {"max_steps": told.steps, "logging_steps": 1, "save_strategy": "no", "report_to": "none"}

# 1. A reward model: a score of how good an answer is, such that people's choices are likely. See recipes/reward.py.
pairs = divided(votes, lambda prompts: preference_rows(prompts, votes.responses, labels))
rewards = RewardTrainer(
    model=told.model,
    args=RewardConfig(f"{told.out}/reward", learning_rate=2e-5, num_train_epochs=2, reward_heads=3, **shared),
    train_dataset=pairs.train,
)
rewards.train()
rewards.save_model(f"{told.out}/reward")

# 2. Is it right? The policy will learn whatever it scores, its errors as well.
scores = reward_rows(rewards.model, rewards.tokenizer, pairs.held_out, max_length=None)
words = [[len(str(row[side]).split()) for side in ("chosen", "rejected")] for row in pairs.held_out]
report = reward_report(scores, words, [row["p_chosen"] for row in pairs.held_out])
print(f"the reward model ranks held-out pairs as people do: {report.accuracy}")

# 3. The policy answers, the reward model scores, and what scored better than expected becomes likelier. KL from the
#    model as it was is what this costs; the budget ends training before the answers are nobody's language any more.
prompts = divided(votes, prompt_rows)


def show(step, samples):
    """What is being rewarded: look at it."""
    for sample in samples[:1]:
        print(f"after step {step}, reward {sample['reward']:+.2f}: {sample['completion']}")


trainer = PPOTrainer(
    model=told.model,
    reward_funcs=f"{told.out}/reward",
    args=PPOConfig(
        told.out,
        learning_rate=5e-5,
        num_train_epochs=6,
        per_device_train_batch_size=16,
        num_ppo_epochs=2,
        kl_coef=0.02,
        kl_budget=30,
        disagreement_penalty=0.5,  # where the heads disagree, nobody knows: not worth going there
        missing_eos_penalty=1.0,
        max_completion_length=told.tokens,
        **shared,
    ),
    train_dataset=prompts.train,
    eval_dataset=prompts.held_out,
    peft_config=LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM"),
    on_rollout=show,
)
before = trainer.evaluate()
trainer.train()
after = trainer.evaluate()
trainer.save_model(told.out)

# 4. The reward on prompts that training did not see. It is the reward model's opinion: ask somebody else as well.
print(f"held-out reward {before['eval_objective/scores']:.2f} -> {after['eval_objective/scores']:.2f}")
print(f"KL from the model as it was: {after['eval_objective/kl']:.2f} nats an answer")
