"""RLOO with a reward of your own, a Python function: what `accord rloo --reward_functions` does, as a script.

accord demo                                          # makes demo/accord.db; only its prompts are used
python recipes/rloo.py                               # answers learn to be of about thirty words
python recipes/rloo.py prompts.jsonl --model MODEL   # your prompts (any file that `accord import` reads), your model
"""

import argparse

from peft import LoraConfig
from votes import DEMO, votes_of

from accord.exchange.rows import prompt_rows, split_prompts
from accord.trainers import RLOOConfig, RLOOTrainer

options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
options.add_argument("prompts", nargs="?", default=DEMO, help="a project's database, or a file of prompts")
options.add_argument("--model", default="smollm2", help="a folder, or a name on the hub")
options.add_argument("--tokens", type=int, default=96, help="most tokens of an answer")
options.add_argument("--steps", type=int, default=20, help="optimizer steps")
options.add_argument("--out", default="runs/recipe-rloo")
told = options.parse_args()


# 1. The reward: a number for each completion. Columns of the data come under their names, as in TRL.
def thirty_words(completions, **columns):
    texts = [said if isinstance(said, str) else said[-1]["content"] for said in completions]
    return [-abs(len(text.split()) - 30) / 30 for text in texts]


# 2. Prompts, some of them held out.
split = split_prompts(votes_of(told.prompts).prompts, test_fraction=0.2)
train, held_out = (list(prompt_rows(part)) for part in split)

# 3. Each prompt is answered four times, and an answer's baseline is the mean of the other three: no critic.
trainer = RLOOTrainer(
    model=told.model,
    reward_funcs=thirty_words,
    args=RLOOConfig(
        told.out,
        learning_rate=1e-4,
        max_steps=told.steps,
        per_device_train_batch_size=16,
        num_generations=4,
        max_completion_length=told.tokens,
        beta=0.01,
        logging_steps=1,
        save_strategy="no",
        report_to="none",
    ),
    train_dataset=train,
    eval_dataset=held_out,
    peft_config=LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM"),
    on_rollout=lambda step, samples: print(step, samples[0]["reward"], samples[0]["completion"]),
)

# 4. Before and after, on prompts that training did not see.
before = trainer.evaluate()
trainer.train()
after = trainer.evaluate()
trainer.save_model(told.out)
print(f"held-out reward {before['eval_reward']:.3f} -> {after['eval_reward']:.3f}")
