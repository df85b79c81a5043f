"""Losses: arithmetic on log-probabilities. Per-example values out; the caller weights and reduces."""
