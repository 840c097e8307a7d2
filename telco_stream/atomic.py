"""Files that appear under their name only once they are whole and on disk."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import BufferedWriter
from pathlib import Path

from telco_stream.errors import UsageError


@contextmanager
def replacing(path: Path) -> Iterator[BufferedWriter]:
    """A file to write that takes the place of `path` in the end; on an error nothing is left of it.

    What the system refuses is a UsageError: the place that was named can't be written.
    """
    path = path.resolve()  # a link stays a link
    if path.exists() and not path.is_file():
        raise UsageError(f"Cannot write {path}: it exists and is no file")
    draft = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with draft.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except OSError as error:
        raise UsageError(f"Cannot write {path}: {error.strerror or error}") from error
    finally:
        _remove(draft)


def _remove(draft: Path) -> None:
    with suppress(OSError):
        draft.unlink()
