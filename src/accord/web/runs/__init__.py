"""Training runs as the app shows them: their folders read with care, and what a page says of them."""
