"""Bundled files, and atomic writes: a file gets its name only when it is complete and on disk."""

import logging
import os
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from io import BufferedWriter
from pathlib import Path
from secrets import token_hex
from typing import BinaryIO, TypeVar

from telco_stream.errors import UsageError

log = logging.getLogger("telco_stream.files")

T = TypeVar("T")

#: Path of an output file that means stdout, as in other programs.
STDOUT = Path("-")
_PACKAGE = Path(__file__).parent.parent
#: The folder of the sample and the default model in a wheel, set in `pyproject.toml`.
_INSTALLED = _PACKAGE / "_bundled"
#: Characters of a file's name that are kept in the name of its temporary file, which may have 255 bytes.
_NAME_KEPT = 40


def bundled(name: str) -> Path:
    """Return the path of `models/churn` or `data/sample_customers.csv`: in a checkout, they are beside the package."""
    return (_INSTALLED if _INSTALLED.is_dir() else _PACKAGE.parent) / name


@contextmanager
def open_output(path: Path) -> Iterator[BinaryIO]:
    """Yield stdout if the path is `-`, and otherwise a file as `atomic_write` does."""
    if path == STDOUT:
        yield sys.stdout.buffer
    else:
        with atomic_write(path) as file:
            yield file


@contextmanager
def atomic_write(path: Path, *, create_folder: bool = False) -> Iterator[BufferedWriter]:
    """Yield a file that replaces `path` when the block ends, or is deleted if the block raises.

    The new file keeps the mode of the old one, and its owner if the system allows that; otherwise the
    umask sets the mode. Raises `UsageError` if the system refuses to write the file, or if its folder does not exist:
    a misspelt path should not create one. `create_folder` is for default paths.
    """
    try:
        # Before the link is resolved, because the kernel may refuse to follow a link that another user created.
        before = status(path)
        path = path.resolve()  # keep a link and replace its target
        if before and not path.is_file():
            raise UsageError(f"Cannot write {path}: it exists but is not a regular file")
        if create_folder:
            path.parent.mkdir(parents=True, exist_ok=True)
        elif not path.parent.exists():
            raise UsageError(f"Cannot write {path}: the folder {path.parent} does not exist; create it first")
        draft = temporary_path(path)
        with created(partial(create_file, draft, before), draft.unlink) as file:
            with file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            draft.replace(path)
            log.debug("wrote %s", path)
    except OSError as error:
        raise UsageError(f"Cannot write {path}: {error.strerror or error}") from error


@contextmanager
def created(create: Callable[[], T], remove: Callable[[], object]) -> Iterator[T]:
    """Yield what `create` returns, and call `remove` at the end, unless the name was taken.

    This includes an interruption in the moment after the creation. `remove` may find nothing.
    """
    is_taken = False
    try:
        try:
            result = create()
        except FileExistsError:
            is_taken = True
            raise
        yield result
    finally:
        if not is_taken:
            with suppress(OSError):
                remove()


def temporary_path(path: Path) -> Path:
    """Return an unpredictable path beside `path` that no other process uses."""
    return path.with_name(f".{path.name[:_NAME_KEPT]}.{token_hex(8)}.tmp")


def create_file(path: Path, like: os.stat_result | None) -> BufferedWriter:
    """Create a file with the mode and owner of `like`; raises OSError if the name is taken, even by a link."""

    def open_exclusively(name: str, flags: int) -> int:
        return os.open(name, flags, 0o666 if like is None else 0o600)

    file = open(path, "xb", opener=open_exclusively)  # noqa: SIM115 - Path.open takes no opener
    if like is not None:
        copy_owner_and_mode(file.fileno(), like)
    return file


def copy_owner_and_mode(target: int | Path, like: os.stat_result) -> None:
    """Give a file or folder the mode, owner and group of `like`, as far as the system allows that."""
    for owner in (like.st_uid, -1):
        with suppress(OSError):
            os.chown(target, owner, like.st_gid)
            break
    with suppress(OSError):  # a file system without modes
        os.chmod(target, stat.S_IMODE(like.st_mode))  # noqa: PTH101 - `os.chmod` also accepts an open file


def status(path: Path) -> os.stat_result | None:
    """Return the status of a file, or None if it does not exist."""
    try:
        return path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None


def read_file(path: Path, limit: int) -> bytes:
    """Read a regular file that a user names, at most `limit` bytes and one; raise `UsageError` if that is impossible.

    A pipe or device could make the caller wait for ever.
    """
    try:
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode):
            kind = "a folder" if stat.S_ISDIR(mode) else "not a regular file"
            raise UsageError(f"Cannot read {path}: it is {kind}")
        with path.open("rb") as file:
            return file.read(limit + 1)
    except OSError as error:
        raise UsageError(f"Cannot read {path}: {error.strerror or error}") from error
