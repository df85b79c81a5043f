"""`python -m accord` is the command line, so that `accelerate launch -m accord …` works."""

from accord.cli.main import app

if __name__ == "__main__":
    app()
