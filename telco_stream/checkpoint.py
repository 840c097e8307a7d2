"""Where a pass over a file begins, and the file that remembers how far it has come."""

import logging
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

from telco_stream.atomic import replacing
from telco_stream.contracts.progress import Pass, Progress, Run, decode_progress, encode_progress
from telco_stream.errors import DataError, UsageError

log = logging.getLogger("telco_stream.produce")

#: The ways out of a checkpoint that stands in the way.
_WAYS_OUT = "finish that one, give another --checkpoint-file, or start over with --restart"


def start_of(wanted: Pass, found: Progress | None, *, restart: bool = False) -> Progress:
    """Where the wanted pass begins, given what was found; raises `DataError` where that belongs to another pass."""
    if found is None:
        return _beginning(wanted)
    if restart:
        return _beginning(wanted, *(name for name in found.finished_runs if name != wanted.name))
    if found.has_finished(wanted):
        return replace(found, of=wanted, complete=True)
    if not found.is_unfinished:
        return _beginning(wanted, *found.finished_runs)
    refuse_another_place(wanted, found)
    if found.of.run_id != wanted.run_id:
        raise DataError(f"The checkpoint is of the unfinished run {found.of.run_id or 'without an id'}; {_WAYS_OUT}")
    if found.of.fingerprint != wanted.fingerprint:
        raise DataError(
            f"{wanted.file} has changed since row {found.last_processed_index + 1} of it was sent:"
            " bring the old content back to go on, or start over with --restart"
        )
    return found


def refuse_another_place(wanted: Pass, found: Progress) -> None:
    """Raises `DataError` where that is an unfinished pass of another file, or to another topic."""
    if found.is_unfinished and (found.of.file, found.of.topic) != (wanted.file, wanted.topic):
        raise DataError(f"The checkpoint is of an unfinished pass of {found.of.file} to {found.of.topic}; {_WAYS_OUT}")


def _beginning(wanted: Pass, *finished_runs: Run) -> Progress:
    return Progress(wanted, finished_runs=finished_runs, pass_id=uuid4().hex)


class CheckpointFile:
    """The file: written whole or not at all, and kept through a power cut.

    A run that has its progress elsewhere, or needs none, goes on where the file can't be written: `is_needed` is false.
    """

    def __init__(self, path: Path, *, is_needed: bool = True) -> None:
        self.path = path
        self._is_needed = is_needed
        self._has_warned = False

    def read(self) -> Progress | None:
        """What it says; None where there is none. Raises `DataError` where it can't be understood."""
        try:
            return decode_progress(self.path.read_bytes())
        except FileNotFoundError:
            return None
        except OSError as error:
            raise DataError(f"Checkpoint {self.path} can't be read: {error.strerror or error}") from error
        except ValueError as error:
            raise DataError(
                f"{self.path} is no checkpoint ({error}); remove it, give another --checkpoint-file, or start over"
                " with --restart"
            ) from error

    def write(self, progress: Progress) -> None:
        """Replace it; where that place can't be written, raises `UsageError` or, if it isn't needed, warns once."""
        try:
            with replacing(self.path) as file:
                file.write(f"{encode_progress(progress)}\n".encode())
        except UsageError as error:
            if self._is_needed:
                raise
            if not self._has_warned:
                log.warning("%s; the run goes on without its checkpoint file, which it does not need", error)
            self._has_warned = True
