"""The arena: conversations with two hidden models, what becomes of them, and the process in which the models live."""
