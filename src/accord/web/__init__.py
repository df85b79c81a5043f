"""The web server: the same store, by other doors. It never imports torch."""
