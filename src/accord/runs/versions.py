"""Which versions made a run, asked of the installed packages' metadata: nothing heavy is imported."""

import platform
from importlib.metadata import PackageNotFoundError, version

PACKAGES = ("accord", "torch", "transformers", "peft", "accelerate", "datasets", "numpy")


def versions() -> dict[str, str]:
    """Python's version and those of the packages that numbers depend on; what is not installed is left out."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
