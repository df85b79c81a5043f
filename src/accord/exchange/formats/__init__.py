"""The formats that can be read, one module each (TRL's in `trl.py`). To add one, write a `Format` and name it here."""

from accord.exchange.formats import alpaca, hh_rlhf, llmfao, ranking, sharegpt, trl, votes
from accord.exchange.formats.form import Format

FORMATS: dict[str, Format] = {
    "preference": trl.PREFERENCE,
    "unpaired": trl.UNPAIRED,
    "prompt-completion": trl.PROMPT_COMPLETION,
    "messages": trl.MESSAGES,
    "prompt-only": trl.PROMPT_ONLY,
    "ranking": ranking.RANKING,
    "hh-rlhf": hh_rlhf.HH_RLHF,
    "sharegpt": sharegpt.SHAREGPT,
    "alpaca": alpaca.ALPACA,
    "llmfao": llmfao.LLMFAO,
    "votes": votes.VOTES,
}

__all__ = ["FORMATS", "Format"]
