"""Files that came with a request, on disk for as long as they are read."""

import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from starlette.datastructures import UploadFile

from accord.feedback import AccordError

LONGEST_NAME = 100


@contextmanager
def on_disk(files: Sequence[UploadFile]) -> Iterator[list[Path]]:
    """The files, called as the sender calls them: a file's name may say what it is, and stands in messages.

    An AccordError that is raised inside comes out without the folder's name. Raises AccordError for no files.
    """
    if not files:
        raise AccordError("file: none was sent (choose one)")
    with TemporaryDirectory(prefix="accord-upload-") as folder:
        paths = [_written(file, Path(folder, str(n))) for n, file in enumerate(files)]
        try:
            yield paths
        except AccordError as error:
            raise AccordError(re.sub(rf"{re.escape(folder)}[/\\]\d+[/\\]", "", str(error))) from error


def _written(file: UploadFile, folder: Path) -> Path:
    folder.mkdir()
    path = folder / plain_name(file.filename or "")
    with path.open("wb") as copy:
        file.file.seek(0)
        shutil.copyfileobj(file.file, copy, 2**20)
    return path


def plain_name(name: str) -> str:
    """The last part of `name` without what could mean anything to a file system."""
    last = re.split(r"[/\\]", name)[-1]
    return re.sub(r"[^\w.() -]", "_", last).strip(" .")[-LONGEST_NAME:] or "upload"
