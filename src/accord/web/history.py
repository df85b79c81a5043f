"""The chart of answers over time."""

from collections.abc import Sequence
from datetime import datetime

from markupsafe import Markup

from accord.report.charts import column_chart
from accord.web.schemas_curating import Column
from accord.web.timeline import DAY, HOUR


def history_chart(columns: Sequence[Column], seconds: int) -> Markup:
    """A column for each stretch of so many `seconds`."""
    most = max(column.answers for column in columns)
    label = (
        f"Answers over time, a column for every {width_in_words(seconds)}: {len(columns)} from "
        f"{columns[0].start:%d %B %Y %H:%M} UTC on, at most {most:,} in one"
    )
    return column_chart(
        [(_moment(column.start, seconds), f"{column.start:%d %b %H:%M}", column.answers)
         for column in columns],
        label,
    )  # fmt: skip


def width_in_words(seconds: int) -> str:
    """How wide a column is."""
    for size, unit in ((7 * DAY, "week"), (DAY, "day"), (HOUR, "hour"), (60, "minute")):
        if seconds % size == 0:
            n = seconds // size
            return unit if n == 1 else f"{n} {unit}s"
    return f"{seconds} seconds"


def _moment(at: datetime, seconds: int) -> str:
    """A time, as precisely as it matters."""
    if seconds > HOUR:
        return f"{at.day} {at:%b}"
    return f"{at:%H:%M}" if seconds < HOUR else f"{at:%a %H:%M}"
