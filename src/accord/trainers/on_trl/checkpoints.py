"""What is laid over TRL's trainers: checkpoints that are whole, and hold what TRL's own would lose."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from accord.trainers.checkpoint import AtomicCheckpoints


class WholeCheckpoints(AtomicCheckpoints):
    """Laid over a trainer of TRL's: checkpoints appear whole, and hold a reference that moves with the model."""

    ref_model: Any

    def own_state(self) -> dict[str, Tensor]:
        if not self._moves:
            return {}
        return {name: weight.clone().contiguous() for name, weight in self._reference.state_dict().items()}

    def load_own_state(self, state: Mapping[str, Tensor]) -> None:
        if self._moves:
            self._reference.load_state_dict(state)

    @property
    def _moves(self) -> bool:
        return getattr(self.args, "sync_ref_model", False)

    @property
    def _reference(self) -> Any:
        return self.accelerator.unwrap_model(self.ref_model)
