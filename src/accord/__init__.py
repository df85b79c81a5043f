"""Accord brings a language model into accord with the people it serves.

The folders are the architecture; `docs/architecture.md` says what each may import.
"""

__version__ = "0.1.0"
