"""GRPO with rewards that can be checked: sums, whose answers are known. A script to start your own from.

python recipes/grpo.py                    # SmolLM2 practises sums
python recipes/grpo.py --model MODEL      # your model
"""

import argparse
import re
from random import Random

from peft import LoraConfig

from accord.trainers import GRPOConfig, GRPOTrainer

options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
options.add_argument("--model", default="smollm2", help="a folder, or a name on the hub")
options.add_argument("--tokens", type=int, default=24, help="most tokens of an answer")
options.add_argument("--steps", type=int, default=30, help="optimizer steps")
options.add_argument("--out", default="runs/recipe-grpo")
told = options.parse_args()


# 1. The data: a prompt, and whatever else the rewards want to know.
def sums(count, seed):
    draw = Random(seed)
    for _ in range(count):
        a, b = draw.randint(2, 9), draw.randint(2, 9)
        question = {"role": "user", "content": f"What is {a} + {b}? Write only the number."}
        yield {"prompt": [question], "answer": a + b}


# 2. Two rewards. The first is what is wanted, the second shows the way while nothing is right yet.
def right(completions, answer, **columns):
    found = [re.findall(r"\d+", said[-1]["content"]) for said in completions]
    return [float(numbers[-1:] == [str(wanted)]) for numbers, wanted in zip(found, answer, strict=True)]


def brief(completions, **columns):
    return [-len(said[-1]["content"]) / 100 for said in completions]


# 3. A group of eight completions a prompt; each is judged by how it stands in its group.
trainer = GRPOTrainer(
    model=told.model,
    reward_funcs=[right, brief],
    args=GRPOConfig(
        told.out,
        reward_weights=[1.0, 0.2],
        learning_rate=1e-4,
        max_steps=told.steps,
        per_device_train_batch_size=32,
        num_generations=8,
        max_completion_length=told.tokens,
        logging_steps=1,
        save_strategy="no",
        report_to="none",
    ),
    train_dataset=list(sums(256, seed=0)),
    eval_dataset=list(sums(32, seed=1)),
    peft_config=LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM"),
)

# 4. Before and after, on sums of their own seed.
before = trainer.evaluate()
trainer.train()
after = trainer.evaluate()
trainer.save_model(told.out)
print(f"right, of held-out sums: {before['eval_rewards/right/mean']:.0%} -> {after['eval_rewards/right/mean']:.0%}")
