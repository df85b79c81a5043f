"""Which process trains, said so that another one can tell whether it is still there."""

import platform
from collections.abc import Mapping
from typing import Any

SLACK = 1.0  # seconds by which two readings of one process's birth may differ


def this_process() -> dict[str, Any]:
    """Host, number and birth of this process: numbers are given again, births are not."""
    import psutil

    process = psutil.Process()
    return {"host": platform.node(), "pid": process.pid, "born": process.create_time()}


def is_alive(told: Mapping[str, Any]) -> bool | None:
    """Whether the process is there that `this_process` told of. None where nobody here can know: it ran on another
    machine, or told nothing."""
    import psutil

    pid, born = told.get("pid"), told.get("born")
    if told.get("host") != platform.node() or type(pid) is not int or type(born) is not float:
        return None
    try:
        process = psutil.Process(pid)
        return abs(process.create_time() - born) <= SLACK and process.status() != psutil.STATUS_ZOMBIE
    except (psutil.NoSuchProcess, ValueError, OverflowError):
        return False
    except psutil.AccessDenied:
        return None
