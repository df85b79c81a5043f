"""Packed prompt trees: a prompt's tokens stand once, however many completions follow it."""

from accord.tree.batch import Padded, PromptTree, Segments, TreeBatch, expand, pack
from accord.tree.head import target_logps
from accord.tree.packing import cut

__all__ = ["Padded", "PromptTree", "Segments", "TreeBatch", "cut", "expand", "pack", "target_logps"]
