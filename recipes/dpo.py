"""DPO from votes, step by step: what `accord dpo` does, as a script to start your own from.

accord demo                                         # makes demo/accord.db: SmolLM2's answers, simulated votes
python recipes/dpo.py                               # trains on them, a few minutes
python recipes/dpo.py my-votes.jsonl --model MODEL  # your file (any that `accord import` reads), your model
"""

import argparse

from peft import LoraConfig
from votes import DEMO, divided, votes_of

from accord.evaluation import preference_report
from accord.exchange.rows import preference_rows
from accord.policy.load import load_policy
from accord.policy.score import score_rows
from accord.quality import pair_labels
from accord.trainers import DPOConfig, DPOTrainer

options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
options.add_argument("votes", nargs="?", default=DEMO, help="a project's database, or a file of votes")
options.add_argument("--model", default="smollm2", help="a folder, or a name on the hub")
options.add_argument("--loss", default="sigmoid", help="see docs/losses.md")
options.add_argument("--steps", type=int, default=-1, help="optimizer steps; two epochs if not said")
options.add_argument("--out", default="runs/recipe-dpo")
told = options.parse_args()

# 1. Each pair gets a soft label: how likely people prefer the one answer, given how reliable each annotator is.
votes = votes_of(told.votes)
labels = pair_labels(votes.comparisons, "dawid_skene", annotators=votes.annotators)
rows = divided(votes, lambda prompts: preference_rows(prompts, votes.responses, labels))

# 2. The reference is the model as it is now: a reward is the change of a log-prob from here.
policy = load_policy(told.model)
before = score_rows(policy.model, policy.tokenizer, rows.held_out, max_length=None)

# 3. Training. An adapter is enough, and leaves the model's own weights alone.
trainer = DPOTrainer(
    model=policy.model,
    args=DPOConfig(
        told.out,
        loss_type=told.loss,
        learning_rate=1e-4,
        num_train_epochs=2,
        max_steps=told.steps,
        logging_steps=4,
        save_strategy="no",
        report_to="none",
    ),
    train_dataset=rows.train,
    processing_class=policy.tokenizer,
    peft_config=LoraConfig(r=16, target_modules="all-linear", task_type="CAUSAL_LM"),
)
trainer.train()
trainer.save_model(told.out)

# 4. Does it rank pairs as people do that it was not shown? Pairs of one prompt are not independent.
after = score_rows(trainer.model, policy.tokenizer, rows.held_out, max_length=None)
report = preference_report(
    after,
    before,
    [row["p_chosen"] for row in rows.held_out],
    beta=trainer.args.beta,
    prompt_ids=[str(row["prompt"]) for row in rows.held_out],
)
print(f"held-out pairs ranked as people do: {report.policy.accuracy} (0.5 before training)")
print(f"log-loss: {report.policy.log_loss} ({report.base.log_loss.value:.3f} before)")
print(f"talk to it: accord chat {told.out}")
