"""How this process takes memory from the system."""

import ctypes
import sys

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX = -1, -2, -4  # <malloc.h>


def keep_freed_memory() -> bool:
    """Lets glibc keep freed memory for the next tensor instead of giving it back; whether it could.

    By default every tensor of some MB is mapped afresh and the kernel clears its pages, step after step: on a CPU that
    takes a tenth of a training step (docs/design/cpu-speed.md). The peak stays as it is.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):  # another C library
        return False
    return all(mallopt(*setting) for setting in ((_MMAP_MAX, 0), (_TRIM_THRESHOLD, 2**31 - 1), (_TOP_PAD, 2**26)))
