"""Supervised fine-tuning: imitating demonstrations."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from accord.trainers import rows
from accord.trainers.base import AccordTrainer
from accord.trainers.config import AccordConfig
from accord.trainers.examples import Example
from accord.trainers.objective import Method, Metric, Objective
from accord.trainers.scored import Scored


@dataclass
class SFTConfig(AccordConfig):
    """Configuration of `SFTTrainer`; defaults are TRL's."""

    learning_rate: float = field(default=2e-5, metadata={"help": "The initial learning rate."})


def objective(config: SFTConfig, examples: Sequence[Example]) -> Objective:
    """−log π(completion | prompt), averaged over the completion tokens of the optimizer batch (nats a token)."""

    def losses(scored: Scored):
        return -scored.logps_EK[:, 0]

    def metrics(scored: Scored, losses_E):
        counted = scored.weight_E > 0
        total, tokens = (losses_E.detach() * counted).sum(), (scored.lengths_EK[:, 0] * counted).sum()
        return {"nats_per_token": Metric(total, tokens.float())}

    return Objective(losses, lambda example: float(len(example.tree.completions[0])), metrics, reference=False)


class SFTTrainer(AccordTrainer):
    """Trains on rows of `prompt` and `completion`, of `messages`, or of `text`, and optionally `weight`.

    Only the completion is learnt (of `messages`, the last turn; of `text`, everything). Constructs like TRL's.
    """

    method = Method(SFTConfig, ("completion",), "", rows.demonstration, objective)

    def __init__(
        self,
        model,
        args: SFTConfig | None = None,
        data_collator: None = None,
        train_dataset=None,
        eval_dataset=None,
        processing_class=None,
        **named,
    ):
        super().__init__(model, None, args, data_collator, train_dataset, eval_dataset, processing_class, **named)
