"""KTO with prospect theory, from votes or thumbs: what `accord kto` does, as a script to start your own from.

accord demo                                         # makes demo/accord.db: SmolLM2's answers, simulated votes
python recipes/kto.py                               # trains on them, a few minutes
python recipes/kto.py thumbs.jsonl --model MODEL    # your file (any that `accord import` reads), your model
python recipes/kto.py --value logistic              # the KTO paper's value function
"""

import argparse

from peft import LoraConfig
from votes import DEMO, divided, votes_of

from accord.evaluation import unpaired_report
from accord.exchange.rows import unpaired_rows
from accord.policy.load import load_policy
from accord.policy.score import score_rows
from accord.quality import response_labels
from accord.trainers import KTOConfig, KTOTrainer

options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
options.add_argument("votes", nargs="?", default=DEMO, help="a project's database, or a file of votes or thumbs")
options.add_argument("--model", default="smollm2", help="a folder, or a name on the hub")
options.add_argument("--value", default="kahneman_tversky", help="how outcomes are felt: see docs/prospect-theory.md")
options.add_argument("--steps", type=int, default=-1, help="optimizer steps; two epochs if not said")
options.add_argument("--out", default="runs/recipe-kto")
told = options.parse_args()

# 1. Each answer gets a probability that people want it: from thumbs, or from the comparisons that it was in.
votes = votes_of(told.votes)
labels = response_labels(votes.comparisons, votes.ratings, "dawid_skene", annotators=votes.annotators)
rows = divided(votes, lambda prompts: unpaired_rows(prompts, votes.responses, labels))

# 2. The reference is the model as it is now: gains and losses are felt as changes from here.
policy = load_policy(told.model)
before = score_rows(policy.model, policy.tokenizer, rows.held_out, ("completion",), max_length=None)

# 3. Training. Losses hurt 2.25 times as much as gains please, and an answer on which people disagree counts on both
#    sides, with the weights that people give to probabilities (Tversky and Kahneman 1992).
felt = {"loss_aversion": 2.25, "risk_alpha": 0.88} if told.value == "kahneman_tversky" else {}
trainer = KTOTrainer(
    model=policy.model,
    args=KTOConfig(
        told.out,
        value_function=told.value,
        decision_weights="tversky_kahneman",
        balance_weights=True,
        learning_rate=1e-4,
        num_train_epochs=2,
        max_steps=told.steps,
        logging_steps=8,
        save_strategy="no",
        report_to="none",
        **felt,
    ),
    train_dataset=rows.train,
    processing_class=policy.tokenizer,
    peft_config=LoraConfig(r=16, target_modules="all-linear", task_type="CAUSAL_LM"),
)
trainer.train()
trainer.save_model(told.out)

# 4. Are wanted answers now likelier than they were, and the others less? On answers that it was not shown.
after = score_rows(trainer.model, policy.tokenizer, rows.held_out, ("completion",), max_length=None)
report = unpaired_report(
    after,
    before,
    [row["p_desirable"] for row in rows.held_out],
    beta=trainer.args.beta,
    prompt_ids=[str(row["prompt"]) for row in rows.held_out],
)
print(f"a wanted answer gained more than an unwanted one, how often: {report.accuracy} (0.5 before training)")
print(f"talk to it: accord chat {told.out}")
