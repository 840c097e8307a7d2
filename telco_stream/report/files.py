"""The files of a report: refused before anything is read, and there only once they are whole."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO

from telco_stream.errors import UsageError
from telco_stream.runtime.atomic import atomic_write


@contextmanager
def opened(*paths: Path | None) -> Iterator[list[BinaryIO | None]]:
    """A file to write for each path; raises `UsageError` where one can't be written, or two are the same."""
    places = [path.resolve() for path in paths if path]
    if len(set(places)) < len(places):
        raise UsageError(f"Two files can't both be {places[0]}: give each a name of its own")
    with ExitStack() as files:
        yield [files.enter_context(atomic_write(path)) if path else None for path in paths]
