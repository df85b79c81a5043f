"""From logits to a token: temperature, filters, and randomness that depends on nothing but the sample's own place."""

from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

_MASK = (1 << 64) - 1
_BLOCK = 64  # tokens that race together
_AT_ONCE = 1 << 20  # logits looked at together on a CPU: what that needs stays in its cache (3 times as fast)


class Chosen(NamedTuple):
    """A token for each row, and log π_T of it (see `Decoding`)."""

    tokens_R: Tensor
    logps_R: Tensor


@dataclass(frozen=True)
class Decoding:
    """How a token is drawn from π_T = softmax(logits / T).

    temperature  T; 0 takes the most probable token (and π_T is then softmax(logits))
    top_k        only the k most probable tokens (0: all); equally probable ones at the edge all stay
    top_p        then only the fewest tokens that together have probability top_p
    min_p        then only tokens at least min_p times as probable as the most probable

    The log-probability that goes with a token is that of π_T before the filters: it is what a policy gradient needs,
    a smooth function of the weights that a scoring pass with logits / T gives again.
    """

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0

    def __post_init__(self) -> None:
        for name, value, low, high in (
            ("temperature", self.temperature, 0.0, float("inf")),
            ("top_k", self.top_k, 0, float("inf")),
            ("top_p", self.top_p, 0.0, 1.0),
            ("min_p", self.min_p, 0.0, 1.0),
        ):
            if not low <= value <= high:
                raise ValueError(f"{name} is {value}: it must be between {low} and {high}")

    def choose(self, logits_RV: Tensor, keys_R: Tensor) -> Chosen:
        """A token a row. Row r is decided by its logits and `keys_R[r]` (see `position_keys`) alone.

        Drawn by an exponential race: the one whose p / E is greatest, E being independent exponentials, is one of p.
        Blocks of tokens race first, then the tokens of the block that won, which is as exact as one race of all and
        needs few exponentials. Logits that differ by ε between two ways of batching change the draw with a probability
        of about ε, where the usual inversion of the cumulative distribution does so about ε times as often as there
        are likely tokens.
        """
        rows = max(1, _AT_ONCE // logits_RV.shape[-1])
        if logits_RV.device.type == "cpu" and len(logits_RV) > rows:
            parts = zip(logits_RV.split(rows), keys_R.split(rows), strict=True)
            return Chosen(*(torch.cat(column) for column in zip(*(self.choose(*part) for part in parts), strict=True)))
        if self.temperature == 0:
            tokens_R = logits_RV.argmax(-1)
            return Chosen(tokens_R, _pick(logits_RV.log_softmax(-1, dtype=torch.float32), tokens_R))
        if self.temperature != 1:
            logits_RV = logits_RV.float() / self.temperature
        p_RV = logits_RV.softmax(-1, dtype=torch.float32)
        kept_RBT = _blocks(self._kept(p_RV))
        blocks_R1 = _race(kept_RBT.sum(-1), keys_R, torch.arange(kept_RBT.shape[1], device=keys_R.device))
        kept_RT = kept_RBT.gather(1, blocks_R1[..., None].expand(-1, -1, _BLOCK))[:, 0]
        first_R1 = kept_RBT.shape[1] + blocks_R1 * _BLOCK  # numbers that no block has
        within_R1 = _race(kept_RT, keys_R, first_R1 + torch.arange(_BLOCK, device=keys_R.device))
        tokens_R = (blocks_R1 * _BLOCK + within_R1)[:, 0]
        return Chosen(tokens_R, _pick(p_RV, tokens_R).log())

    def _kept(self, p_RV: Tensor) -> Tensor:
        """`p_RV` with zeros where a filter says no (not normalised again: the race does not mind)."""
        floor_R1 = torch.zeros_like(p_RV[:, :1])
        if 0 < self.top_k < p_RV.shape[-1]:
            floor_R1 = p_RV.topk(self.top_k).values[:, -1:]
        if self.top_p < 1:
            floor_R1 = torch.maximum(floor_R1, _nucleus_floor(p_RV, floor_R1, self.top_p))
        if self.min_p > 0:
            floor_R1 = torch.maximum(floor_R1, self.min_p * p_RV.amax(-1, keepdim=True))
        return p_RV if self.top_k == 0 and self.top_p == 1 and self.min_p == 0 else p_RV.where(p_RV >= floor_R1, 0)


def _blocks(p_RV: Tensor) -> Tensor:
    """[R, blocks, _BLOCK], with zeros after the last token."""
    return F.pad(p_RV, (0, -p_RV.shape[-1] % _BLOCK)).unflatten(-1, (-1, _BLOCK))


def _race(p_RC: Tensor, keys_R: Tensor, numbers: Tensor) -> Tensor:
    """[R, 1]: which column wins. Column c's exponential belongs to `numbers[c]`, or to `numbers[r, c]`."""
    return p_RC.div(exponentials(keys_R, numbers)).argmax(-1, keepdim=True)


def _pick(values_RV: Tensor, tokens_R: Tensor) -> Tensor:
    return values_RV.gather(-1, tokens_R[:, None])[:, 0]


def _nucleus_floor(p_RV: Tensor, floor_R1: Tensor, top_p: float) -> Tensor:
    """The least probability inside the nucleus of what `floor_R1` has left.

    Most nuclei are small, and sorting a whole vocabulary takes longer than all else here: look at more of the largest
    until they hold enough.
    """
    kept_RV = p_RV.where(p_RV >= floor_R1, 0)
    wanted_R1 = top_p * kept_RV.sum(-1, keepdim=True)
    size = 64
    while True:
        size = min(size * 4, p_RV.shape[-1])
        largest_RS = kept_RV.topk(size).values
        before_RS = largest_RS.cumsum(-1) - largest_RS  # a token stays if those before it do not suffice
        if size == p_RV.shape[-1] or bool((before_RS[:, -1:] >= wanted_R1).all()):
            last_R1 = (before_RS < wanted_R1).sum(-1, keepdim=True) - 1
            return largest_RS.gather(-1, last_R1.clamp(min=0))


def sample_key(*numbers: int) -> int:
    """64 bits for (seed, prompt, sample): the splitmix64 finaliser folded over the numbers."""
    key = 0
    for number in numbers:
        key = _mix(key ^ (number & _MASK))
    return key - (1 << 64) if key >> 63 else key


def _mix(x: int) -> int:
    x = (x + 0x9E3779B97F4A7C15) & _MASK
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & _MASK
    return x ^ (x >> 31)


def position_keys(sample_keys_R: Tensor, positions_R: Tensor) -> Tensor:
    """The 64-bit key of each row's next token: a hash of its sample's key and of how many tokens came before."""
    return _mix_tensor(sample_keys_R ^ _mix_tensor(positions_R))


def _mix_tensor(x: Tensor) -> Tensor:
    """`_mix` on int64 (multiplication wraps; shifts are made logical by the masks)."""
    x = x - 0x61C8864680B583EB  # + 0x9E37…7C15, as a signed number
    x = (x ^ ((x >> 30) & (_MASK >> 30))) * -0x40A7B892E31B1A47  # 0xBF58…E5B9
    x = (x ^ ((x >> 27) & (_MASK >> 27))) * -0x6B2FB644ECCEEE15  # 0x94D0…11EB
    return x ^ ((x >> 31) & (_MASK >> 31))


def exponentials(keys_R: Tensor, numbers: Tensor) -> Tensor:
    """[R, C] draws of the exponential distribution, each a function of its row's key and its number ([C] or [R, C]).

    A 32-bit hash of (key, number), then E = −log(1 − u) with u = (h + ½) / 2³¹, so that small E (those that win) are
    resolved to 2⁻³². A hash and not a generator: no state, any row alone, the same on every device.
    """
    low_R1, high_R1 = keys_R[:, None].to(torch.int32), (keys_R[:, None] >> 32).to(torch.int32)
    h_RC = _mix_tensor(numbers).to(torch.int32) ^ low_R1
    h_RC.mul_(high_R1 | 1)
    h_RC.bitwise_xor_((h_RC >> 15).bitwise_and_(0x1FFFF)).mul_(0x2C1B3C6D)
    h_RC.bitwise_xor_((h_RC >> 12).bitwise_and_(0xFFFFF)).mul_(0x297A2D39)
    h_RC.bitwise_xor_((h_RC >> 15).bitwise_and_(0x1FFFF)).bitwise_and_(0x7FFFFFFF)
    return h_RC.float().add_(0.5).mul_(-(2.0**-31)).log1p_().neg_()
