"""What was typed into a page's form, and what is wrong with it, for the words beside each field."""

from typing import Annotated, Any

from fastapi import Depends, Request
from pydantic import ValidationError
from starlette.datastructures import FormData, UploadFile

#: pydantic's name for a fault -> what people read; the rest are read as pydantic says them.
WORDS = {
    "string_too_short": "Write something here.",
    "string_too_long": "This is too long: {max_length:,} characters at most.",
    "int_parsing": "Write a whole number.",
    "int_from_float": "Write a whole number.",
    "float_parsing": "Write a number.",
    "finite_number": "Write a number.",
    "greater_than": "Write more than {gt}.",
    "greater_than_equal": "Write {ge} or more.",
    "less_than_equal": "Write {le:,} or less.",
    "too_long": "These are too many: {max_length} at most.",
    "enum": "Choose one.",
    "literal_error": "Choose one.",
}


async def _typed(request: Request) -> FormData:
    return await request.form()


#: A route's parameter: all that the form holds. It stands after the one that says who may use the route.
Typed = Annotated[FormData, Depends(_typed)]


def text(typed: FormData, name: str, default: str = "") -> str:
    """What was typed into the field `name`; line ends are \\n."""
    value = typed.get(name, default)
    return value.replace("\r\n", "\n") if isinstance(value, str) else default


def texts(typed: FormData, name: str) -> list[str]:
    """All that was ticked under `name`."""
    return [value for value in typed.getlist(name) if isinstance(value, str)]


def files(typed: FormData, name: str) -> list[UploadFile]:
    """The files that were chosen in the field `name`; none where it was left empty."""
    return [value for value in typed.getlist(name) if isinstance(value, UploadFile) and value.filename]


def lines(typed: FormData, name: str) -> list[str]:
    """The lines that were typed, without blank ones."""
    return [line for line in text(typed, name).split("\n") if line.strip()]


def problems(error: ValidationError) -> dict[str, str]:
    """What is wrong with each field, by its name; the first fault of each."""
    found: dict[str, str] = {}
    for fault in error.errors():
        where: list[Any] = list(fault["loc"]) or [""]
        row = f"Line {where[1] + 1}: " if len(where) > 1 and isinstance(where[1], int) else ""
        found.setdefault(str(where[0]), row + _words(fault))
    return found


def _words(fault: Any) -> str:
    context = fault.get("ctx", {})
    if fault["type"] == "value_error":
        said = str(context["error"])
        return said[:1].upper() + said[1:] + "."
    return WORDS[fault["type"]].format(**context) if fault["type"] in WORDS else f"{fault['msg']}."
