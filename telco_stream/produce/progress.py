"""Progress of a pass over a file, its encoding for Kafka, and the checkpoint file."""

import hashlib
import logging
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from telco_stream.contract.document import builtin_contract
from telco_stream.contract.rows import digest_of_rows
from telco_stream.csv.header import format_delimiter
from telco_stream.csv.validation import CsvFormat
from telco_stream.errors import DataError, UsageError
from telco_stream.runtime.choices import Mode
from telco_stream.runtime.files import atomic_write

log = logging.getLogger("telco_stream.produce.loop")

#: Maximum number of finished contents in an offset's metadata (one run, at most 4 KiB) and in the file (all runs).
_MAX_FINISHED_IN_KAFKA = 48
_MAX_FINISHED_IN_FILE = 1_000
#: Hexadecimal digits of the digests in `finished`.
_DIGEST_LENGTH = 16


@dataclass(frozen=True, slots=True)
class PassKey:
    """File, its content, the topic and the run ID of a pass."""

    file: str
    fingerprint: str
    topic: str
    run_id: str | None = None
    #: A topic that is deleted and created again gets another ID; None if the broker lacks topic IDs.
    topic_id: str | None = None
    #: The contract and the options by which rows become messages; None is the default, also of earlier versions.
    row_format: str | None = None

    @property
    def identity(self) -> tuple[str, str, str]:
        """Return what identifies the stored progress: topic and run ID, or file and topic without a run ID."""
        return "" if self.run_id is not None else self.file, self.topic, self.run_id or ""

    @property
    def run_digest(self) -> str:
        """Return a digest that identifies the run; runs to an earlier topic with the same name have another one."""
        return _digest(*self.identity, self.topic_id or "")

    @property
    def finished_name(self) -> str:
        """Return the entry for this run and content in `PassProgress.finished`."""
        return f"{self.run_digest}-{self.fingerprint[:_DIGEST_LENGTH]}"

    def is_to_earlier_topic(self, current: "PassKey") -> bool:
        """Return whether the topic has been deleted and created again since this pass."""
        return None not in {self.topic_id, current.topic_id} and self.topic_id != current.topic_id


@dataclass(frozen=True, slots=True)
class PassProgress:
    """Progress of a pass: the broker has confirmed all rows up to `last_processed_index`, which counts from 0.

    Bad rows that were skipped count as processed, but not as sent. A stream of random rows only counts `total_sent`.
    The fields are the keys of the stored JSON.
    """

    of: PassKey
    last_processed_index: Annotated[int, Meta(ge=-1)] = -1
    last_event_ts: str | None = None
    total_sent: Annotated[int, Meta(ge=0)] = 0
    complete: bool = False
    mode: Mode = "batch"
    #: The `finished_name` of each finished content of a named run, oldest first.
    finished: tuple[str, ...] = ()
    #: Different for each pass over the same file.
    pass_id: str = ""
    #: Hash of the file's bytes up to the last processed row; None in progress stored by an earlier version.
    rows_hash: str | None = None

    @property
    def rows_done(self) -> int:
        """Return how many rows of the file were processed."""
        return self.last_processed_index + 1

    @property
    def skipped(self) -> int:
        """Return how many bad rows were skipped."""
        return self.rows_done - self.total_sent

    @property
    def is_unfinished(self) -> bool:
        """Return whether some rows have been sent and some are left."""
        return self.mode == "batch" and not self.complete and self.last_processed_index >= 0

    def advanced(
        self, rows: int, event_ts: str | None, *, sent: int | None = None, rows_hash: str | None = None
    ) -> "PassProgress":
        """Return the progress after `rows` more rows, of which all or only `sent` were sent."""
        return replace(
            self,
            last_processed_index=self.last_processed_index + rows,
            last_event_ts=event_ts,
            total_sent=self.total_sent + (rows if sent is None else sent),
            rows_hash=rows_hash,
        )

    def completed(self) -> "PassProgress":
        """Return the progress of the finished pass."""
        if self.of.run_id is None:
            return replace(self, complete=True)
        finished = (*exclude_content(self.finished, self.of), self.of.finished_name)
        return replace(self, complete=True, finished=finished[-_MAX_FINISHED_IN_FILE:])

    def has_finished(self, pass_key: PassKey) -> bool:
        """Return whether this is a named run that has finished with this content."""
        return pass_key.run_id is not None and pass_key.finished_name in self.finished


def describe_format(csv_format: CsvFormat) -> str | None:
    """Return the contract and the options by which rows become messages; None for the built-in contract only."""
    contract, delimiter = csv_format.contract, csv_format.delimiter
    digest = digest_of_rows(contract)
    parts = [
        f"contract {contract.name} ({digest})" if digest != digest_of_rows(builtin_contract()) else "",
        f"--delimiter {format_delimiter(delimiter)}" if delimiter != "," else "",
        "--number-rows" if csv_format.number_rows else "",
    ]
    return ", ".join(filter(None, parts)) or None


def exclude_content(finished: Iterable[str], pass_key: PassKey) -> tuple[str, ...]:
    """Return the entries of `finished` except that of this run and content."""
    return tuple(name for name in finished if name != pass_key.finished_name)


def latest_progress(marks: Iterable[PassProgress]) -> PassProgress | None:
    """Return the progress of the newest pass, given the newest mark of each pass with one identity."""
    newest: PassProgress | None = None
    finished: tuple[str, ...] = ()
    for mark in sorted(marks, key=lambda mark: mark.last_event_ts or ""):
        newest = replace(mark, finished=finished)
        finished = newest.completed().finished if mark.complete else exclude_content(finished, mark.of)
    return newest and replace(newest, finished=finished)


_decode = msgspec.json.Decoder(PassProgress).decode


def encode_progress(progress: PassProgress) -> str:
    """Encode progress as one line of JSON."""
    return msgspec.json.encode(progress).decode()


def encode_metadata(progress: PassProgress) -> str:
    """Encode progress as metadata of an offset, at most 4 KiB: of `finished`, keep this run's newest contents only."""
    of_this_run = [name for name in progress.finished if name.startswith(progress.of.run_digest)]
    return encode_progress(replace(progress, finished=tuple(of_this_run[-_MAX_FINISHED_IN_KAFKA:])))


def decode_progress(text: str | bytes) -> PassProgress:
    """Decode progress; raise `ValueError` if the text is invalid."""
    try:
        return _decode(text)
    except RecursionError as error:
        raise ValueError("nested too deep") from error


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
            with atomic_write(self.path, create_folder=True) as file:
                file.write(f"{encode_progress(progress)}\n".encode())
        except UsageError as error:
            if self._is_needed:
                raise
            if not self._has_warned:
                log.warning("%s; the run continues without its checkpoint file, which it does not need", error)
            self._has_warned = True


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:_DIGEST_LENGTH]
