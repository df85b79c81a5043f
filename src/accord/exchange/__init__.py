"""Files in and out: the formats that people's data comes in, and TRL's forms to give it back in."""

from accord.exchange.bad_input import BadInput
from accord.exchange.formats import FORMATS
from accord.exchange.reading import read
from accord.exchange.writing import write_export

__all__ = ["FORMATS", "BadInput", "read", "write_export"]
