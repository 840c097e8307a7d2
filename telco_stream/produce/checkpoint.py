"""Where a pass over a file begins, and the file that remembers how far it has come."""

import logging
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

from telco_stream.errors import DataError, UsageError
from telco_stream.produce.progress import PassKey, PassProgress, decode_progress, encode_progress, without
from telco_stream.runtime.atomic import atomic_write

log = logging.getLogger("telco_stream.produce.loop")

#: The ways out of a checkpoint that stands in the way.
_WAYS_OUT = "finish that one, give another --checkpoint-file, or start over with --restart"


def start_of(wanted: PassKey, found: PassProgress | None, *, restart: bool = False) -> PassProgress:
    """Where the wanted pass begins, given what was found; raises `DataError` where that belongs to another pass."""
    if found is None:
        return _beginning(wanted)
    if restart:
        return _beginning(wanted, without(found.finished, wanted))
    if found.has_finished(wanted):
        return replace(found, of=wanted, complete=True)
    if not found.is_unfinished:
        return _beginning(wanted, found.finished)
    refuse_earlier_topic(wanted, found)
    if wanted.key != found.of.key:
        refuse_another_place(wanted, found)
        raise DataError(f"The checkpoint is of the unfinished run {found.of.run_id or 'without an id'}; {_WAYS_OUT}")
    if found.of.fingerprint != wanted.fingerprint:
        raise DataError(_other_content(wanted, found.last_processed_index + 1))
    return replace(found, of=wanted)


def refuse_another_place(wanted: PassKey, found: PassProgress) -> None:
    """Raises `DataError` where that is an unfinished pass of another file, or to another topic."""
    if found.is_unfinished and (found.of.file, found.of.topic) != (wanted.file, wanted.topic):
        raise DataError(f"The checkpoint is of an unfinished pass of {found.of.file} to {found.of.topic}; {_WAYS_OUT}")


def refuse_earlier_topic(wanted: PassKey, found: PassProgress) -> None:
    """Raises `DataError` where the topic was deleted and created again in the middle of this pass."""
    if found.is_unfinished and wanted.key == found.of.key and found.of.is_to_earlier_topic(wanted):
        raise DataError(
            f"Topic {wanted.topic} has been deleted and created again since row {found.last_processed_index + 1} was"
            f" sent (its ID was {found.of.topic_id} and is {wanted.topic_id}); start over with --restart"
        )


def refuse_lost_progress(in_file: PassProgress | None) -> None:
    """Raises `DataError`: nobody knows which row of the pass was the last one."""
    by_file = in_file and (
        f", or go on after row {in_file.last_processed_index + 1}, as the checkpoint file says, with --delivery"
        " at-least-once (rows that were sent after it come twice)"
    )
    raise DataError(
        "Kafka no longer has the progress of this pass (it deletes offsets that nobody uses,"
        " offsets.retention.minutes), and the topic doesn't show how far it came; send every row again with"
        f" --restart{by_file or ''}"
    )


def _other_content(wanted: PassKey, rows: int) -> str:
    if wanted.run_id is None:
        return (
            f"{wanted.file} has changed since row {rows} of it was sent: bring the old content back to go on, or start"
            " over with --restart"
        )
    return (
        f"The unfinished run {wanted.run_id} has sent {rows} rows of a file with other content: give that file to go"
        " on, give this one another --run-id, or start over with --restart"
    )


def _beginning(wanted: PassKey, finished: tuple[str, ...] = ()) -> PassProgress:
    return PassProgress(wanted, finished=finished, pass_id=uuid4().hex)


class CheckpointFile:
    """The file: written whole or not at all, and kept through a power cut.

    A run that has its progress elsewhere, or needs none, goes on where the file can't be written: `is_needed` is false.
    """

    def __init__(self, path: Path, *, is_needed: bool = True) -> None:
        self.path = path
        self._is_needed = is_needed
        self._has_warned = False

    def read(self) -> PassProgress | None:
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

    def write(self, progress: PassProgress) -> None:
        """Replace it; where that place can't be written, raises `UsageError` or, if it isn't needed, warns once."""
        try:
            with atomic_write(self.path) as file:
                file.write(f"{encode_progress(progress)}\n".encode())
        except UsageError as error:
            if self._is_needed:
                raise
            if not self._has_warned:
                log.warning("%s; the run goes on without its checkpoint file, which it does not need", error)
            self._has_warned = True
