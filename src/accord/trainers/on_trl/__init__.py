"""TRL's own stable trainers under Accord's command line: the same settings and rows, the same run folder.

Imported for `--backend trl` alone, because it imports TRL.
"""

import trl

from accord.trainers.on_trl.config import config_of
from accord.trainers.on_trl.peers import PEERS
from accord.trainers.on_trl.rows import check_rows
from accord.trainers.on_trl.trainer import build

#: As it stands in run.json.
BACKEND = f"trl {trl.__version__}"

__all__ = ["BACKEND", "PEERS", "build", "check_rows", "config_of"]
