"""How numbers and foreign text stand on the page."""

import unicodedata
from datetime import datetime

#: Characters that turn the order of what follows, or end such a turn.
BIDI_CONTROLS = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
KEPT_CONTROLS = "\n\t"


def visible(text: object) -> str:
    """`text` with every character that could deceive the reader's eye named instead: bidi overrides, controls.

    The page isolates the direction of each text as well, so that it cannot reach beyond its own box.
    """
    return "".join(_shown(character) for character in str(text).replace("\r\n", "\n"))


def _shown(character: str) -> str:
    hidden = unicodedata.category(character) in ("Cc", "Cs") and character not in KEPT_CONTROLS
    return f"⟨U+{ord(character):04X}⟩" if hidden or character in BIDI_CONTROLS else character


def percent(x: float) -> str:
    """A share as people say it: 81 %. Never 100 % or 0 % for what is only near it."""
    shown = round(100 * x)
    if (shown == 100 and x < 1) or (shown == 0 and x > 0):
        return f"{100 * x:.1f}\u202f%"
    return f"{shown}\u202f%"


def short(x: float, digits: int = 3) -> str:
    """So many significant digits, a true minus sign, no exponent between 0.001 and 100,000."""
    size = abs(x)
    if x == 0:
        text = "0"
    elif size >= 1e5 or size < 1e-3:
        text = f"{x:.1e}".replace("e-0", "e-").replace("e+0", "e")
    elif size >= 100:
        text = f"{x:,.0f}"
    else:
        text = f"{x:.{digits}g}"
    return text.replace("-", "−")


def signed(x: float, digits: int = 3) -> str:
    """As `short`, with a plus sign where it is one."""
    return f"+{short(x, digits)}" if x > 0 else short(x, digits)


def duration(seconds: float) -> str:
    """4 min 12 s."""
    seconds = round(seconds)
    hours, minutes = seconds // 3600, seconds % 3600 // 60
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {seconds % 60} s" if minutes else f"{seconds} s"


def moment(iso: object) -> str:
    """2 January 2026, 15:04 UTC; "" for what is no time."""
    try:
        at = datetime.fromisoformat(str(iso))
    except ValueError:
        return ""
    return f"{at.day} {at:%B %Y, %H:%M} UTC"


def count(n: float, noun: str) -> str:
    """1 pair, 1,200 pairs."""
    return f"{n:,.0f} {noun}{'' if n == 1 else 's'}"
