"""The form of a campaign's rules: its fields from a campaign, a campaign's rules from its fields."""

from typing import Any

from starlette.datastructures import FormData

from accord.feedback import SKIP_REASONS, Campaign, Form
from accord.web.drawing import GUIDELINE
from accord.web.forms import lines, text

#: How the page names forms: strength is a form of its own there.
KINDS = {"pair": (Form.PAIR, False), "strength": (Form.PAIR, True), "thumb": (Form.THUMB, False),
         "ranking": (Form.RANKING, False)}  # fmt: skip
#: What the form for a new campaign holds at first.
BLANK = {
    "title": "",
    "kind": "pair",
    "overlap": "3",
    "lease_minutes": "15",
    "tags": "",
    "skip_reasons": "\n".join(SKIP_REASONS),
    "control_percent": "10",
    "markdown": False,
    "feedback": True,
    "open": True,
    "guideline": GUIDELINE,
}


def fields_of(campaign: Campaign) -> dict[str, Any]:
    """The campaign as the form's fields have it."""
    return {
        "title": campaign.title,
        "kind": next(name for name, kind in KINDS.items() if kind == (campaign.form, campaign.strength)),
        "overlap": str(campaign.overlap),
        "lease_minutes": f"{campaign.lease_minutes:g}",
        "tags": "\n".join(campaign.tags),
        "skip_reasons": "\n".join(campaign.skip_reasons),
        "control_percent": f"{100 * campaign.control_share:g}",
        "markdown": campaign.markdown,
        "feedback": campaign.feedback,
        "open": campaign.open,
    }


def fields_typed(typed: FormData) -> dict[str, Any]:
    """The form's fields as they were sent."""
    return {name: bool(typed.get(name)) if isinstance(value, bool) else text(typed, name)
            for name, value in BLANK.items()}  # fmt: skip


def rules(typed: FormData) -> dict[str, Any]:
    """The fields of `Settings` that the form's fields make."""
    form, strength = KINDS.get(text(typed, "kind"), (text(typed, "kind"), False))
    return {
        "title": text(typed, "title"),
        "form": form,
        "strength": strength,
        "overlap": text(typed, "overlap"),
        "lease_minutes": text(typed, "lease_minutes"),
        "tags": lines(typed, "tags"),
        "skip_reasons": lines(typed, "skip_reasons"),
        "control_share": _share(text(typed, "control_percent")),
        **{name: bool(typed.get(name)) for name in ("markdown", "feedback", "open")},
    }


def _share(percent: str) -> float | str:
    try:
        return float(percent) / 100
    except ValueError:
        return percent


def by_field(wrong: dict[str, str]) -> dict[str, str]:
    """Faults by the form's fields."""
    renamed = {"control_share": "control_percent", "form": "kind", "": "kind"}
    found = {renamed.get(name, name): why for name, why in wrong.items()}
    return found | ({"control_percent": "Write a number from 0 to 100."} if "control_percent" in found else {})
