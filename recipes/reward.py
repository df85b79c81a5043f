"""A reward model from votes: what `accord reward` does, as a script to start your own from.

accord demo                                           # makes demo/accord.db: SmolLM2's answers, simulated votes
python recipes/reward.py                              # trains on them, a few minutes
python recipes/reward.py my-votes.jsonl --model MODEL # your file (any that `accord import` reads), your model
"""

import argparse

import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer
from votes import DEMO, divided, votes_of

from accord.evaluation.rewards import reward_report
from accord.exchange.rows import preference_rows
from accord.policy.reward_model import reward_rows
from accord.quality import pair_labels
from accord.trainers import RewardConfig, RewardTrainer

options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
options.add_argument("votes", nargs="?", default=DEMO, help="a project's database, or a file of votes")
options.add_argument("--model", default="smollm2", help="a folder, or a name on the hub")
options.add_argument("--heads", type=int, default=3, help="an ensemble of so many: see docs/reward-models.md")
options.add_argument("--steps", type=int, default=-1, help="optimizer steps; two epochs if not said")
options.add_argument("--out", default="runs/recipe-reward")
told = options.parse_args()

# 1. Each pair gets a soft label: how likely people prefer the one answer, given how reliable each annotator is.
votes = votes_of(told.votes)
labels = pair_labels(votes.comparisons, "dawid_skene", annotators=votes.annotators)
rows = divided(votes, lambda prompts: preference_rows(prompts, votes.responses, labels))

# 2. Training: the language model's trunk with one linear head, or several that learn from samples of their own. Where
#    people said "alike", Davidson's model takes that as an answer and not as half a preference.
trainer = RewardTrainer(
    model=told.model,
    args=RewardConfig(
        told.out,
        reward_heads=told.heads,
        ties="davidson",
        center_rewards_coefficient=0.01,
        learning_rate=2e-5,
        num_train_epochs=2,
        max_steps=told.steps,
        logging_steps=4,
        save_strategy="no",
        report_to="none",
    ),
    train_dataset=rows.train,
)
trainer.train()
trainer.save_model(told.out)

# 3. Does it rank pairs as people do that it was not shown, and is it more than a ruler of length?
scores = reward_rows(trainer.model, trainer.tokenizer, rows.held_out, max_length=None)
words = [[len(str(row[side]).split()) for side in ("chosen", "rejected")] for row in rows.held_out]
report = reward_report(
    scores,
    words,
    [row["p_chosen"] for row in rows.held_out],
    prompt_ids=[str(row["prompt"]) for row in rows.held_out],
)
print(f"held-out pairs ranked as people do: {report.accuracy}")
print(f"the rule 'the longer one wins' is right in {report.length.longer_wins} of them")
if report.disagreement:
    print(f"the heads agree on {report.disagreement.agree} of them")

# 4. What was saved is Transformers' own: any tool that takes a sequence classifier takes it.
judge = AutoModelForSequenceClassification.from_pretrained(told.out)
tokenizer = AutoTokenizer.from_pretrained(told.out)
talk = [{"role": "user", "content": "Why is the sky blue?"}, {"role": "assistant", "content": "Air scatters blue."}]
with torch.no_grad():
    scores_by_head = judge(**tokenizer.apply_chat_template(talk, return_tensors="pt", return_dict=True)).logits[0]
print(f"reward of a short answer: {scores_by_head.mean():.3f}, one score a head: {scores_by_head.tolist()}")
