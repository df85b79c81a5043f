"""Rules of thumb that pages of all kinds share: they decide what is said, never what is measured."""

KL_FAR = 20.0  # nats an answer
LENGTH_DRIFT = 0.2  # of the length before
