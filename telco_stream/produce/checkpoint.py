"""The checkpoint file of `produce`."""

import logging
from pathlib import Path

from telco_stream.errors import DataError, UsageError
from telco_stream.produce.progress import PassProgress, decode_progress, encode_progress
from telco_stream.runtime.files import atomic_write

log = logging.getLogger("telco_stream.produce.loop")


class CheckpointFile:
    """File with the progress of a pass, replaced atomically and durably.

    With `is_needed` false, a run continues if the file can't be written: its progress is in Kafka, or it has none.
    """

    def __init__(self, path: Path, *, is_needed: bool = True) -> None:
        self.path = path
        self._is_needed = is_needed
        self._has_warned = False

    def read(self) -> PassProgress | None:
        """Return the stored progress, or None without a file; raise `DataError` if the file is invalid."""
        try:
            return decode_progress(self.path.read_bytes())
        except FileNotFoundError:
            return None
        except OSError as error:
            raise DataError(f"Checkpoint {self.path} can't be read: {error.strerror or error}") from error
        except ValueError as error:
            raise DataError(
                f"{self.path} is not a checkpoint ({error}); remove it, use another --checkpoint-file, or start over"
                " with --restart"
            ) from error

    def write(self, progress: PassProgress) -> None:
        """Replace the file; if that fails, raise `UsageError`, or warn once if the file is not needed."""
        try:
            with atomic_write(self.path) as file:
                file.write(f"{encode_progress(progress)}\n".encode())
        except UsageError as error:
            if self._is_needed:
                raise
            if not self._has_warned:
                log.warning("%s; the run continues without its checkpoint file, which it does not need", error)
            self._has_warned = True
