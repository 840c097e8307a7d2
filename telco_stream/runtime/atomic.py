"""Files that appear under their name only once they are whole and on disk."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import BufferedWriter
from pathlib import Path
from secrets import token_hex

from telco_stream.errors import UsageError

#: Characters of a file's name that its temporary file carries too; a name may have 255 bytes.
_NAME_KEPT = 40


@contextmanager
def atomic_write(path: Path) -> Iterator[BufferedWriter]:
    """A file to write that takes the place of `path` in the end; on an error nothing is left of it.

    The mode of a file that is replaced is kept, and its owner where the system allows that; a new file gets the mode
    that the umask gives. What the system refuses is a UsageError: the place that was named can't be written.
    """
    try:
        before = status(
            path
        )  # asked before the link is resolved: the kernel may refuse a link that another has planted
        path = path.resolve()  # a link stays a link
        if before and not path.is_file():
            raise UsageError(f"Cannot write {path}: it exists and is no file")
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = temporary_path(path)
        file = create_file(draft, before)
        try:
            with file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            draft.replace(path)
        finally:
            with suppress(OSError):
                draft.unlink()
    except OSError as error:
        raise UsageError(f"Cannot write {path}: {error.strerror or error}") from error


def temporary_path(path: Path) -> Path:
    """Return a path beside `path` that nobody can guess, and that no other process uses."""
    return path.with_name(f".{path.name[:_NAME_KEPT]}.{token_hex(8)}.tmp")


def create_file(path: Path, like: os.stat_result | None) -> BufferedWriter:
    """Create a file with the mode and owner of `like`; raises OSError where anything, even a link, has that name."""

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
    with suppress(OSError):  # a file system without modes; otherwise nobody else can read it
        os.chmod(target, stat.S_IMODE(like.st_mode))  # noqa: PTH101 - it takes an open file too


def status(path: Path) -> os.stat_result | None:
    """Return the file's status; None where there is no such file."""
    try:
        return path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
