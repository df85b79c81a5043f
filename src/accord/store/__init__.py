"""The database of prompts, responses and raw votes. Takes and returns feedback nouns, never rows."""

from accord.store.spool import add_beside, finish_imports
from accord.store.store import Store

__all__ = ["Store", "add_beside", "finish_imports"]
