"""Several processes on CPUs.

`accelerate launch --cpu --num_processes N -m accord …` without MPI starts one process, tells it a MASTER_ADDR for the
others, and starts no other and says nothing. The number that was asked for stands on its command line, so the one
process turns into torch's launcher, which starts all N (gloo).
"""

import os
import re
import sys
from collections.abc import Mapping, Sequence

import psutil

#: Whoever sets one of these has started all processes: torchrun, Accelerate on GPUs, MPI.
STARTED = ("WORLD_SIZE", "PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE")


def asked_for(environment: Mapping[str, str], launcher: Sequence[str]) -> int:
    """How many processes Accelerate was asked for on CPUs and did not start; 1 where all is as it was asked.

    launcher   the command line of the parent process
    """
    lone = "MASTER_ADDR" in environment and environment.get("ACCELERATE_USE_CPU", "").lower() in ("true", "1")
    if not lone or any(name in environment for name in STARTED):
        return 1
    found = re.search(r" --num[_-]processes[= ](\d+)", " ".join(launcher))
    return int(found[1]) if found else 1


def start_all(argv: Sequence[str]) -> None:
    """Replaces this process by torch's launcher if Accelerate started one where several were asked for."""
    parent = psutil.Process().parent()
    try:
        wanted = asked_for(os.environ, parent.cmdline() if parent else [])
    except psutil.Error:  # another user's process, or one that has gone
        return
    if wanted > 1:
        launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(wanted)]
        os.execv(sys.executable, [sys.executable, *launcher, "-m", "accord", *argv])
