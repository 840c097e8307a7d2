"""How far a pass over a file has come: what the checkpoint file says, and the note that Kafka keeps of it."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Annotated

import msgspec
from msgspec import Meta

from telco_stream.runtime.choices import Mode

#: Finished contents that are remembered: of one run in Kafka, whose note takes 4 KiB, and of all runs in the file.
_FINISHED_IN_KAFKA = 48
_FINISHED_IN_FILE = 1_000
#: Hexadecimal digits that identify a run or a content among the finished ones.
_SHORT = 16


@dataclass(frozen=True, slots=True)
class PassKey:
    """Which rows go where: a file with this content, to that topic, perhaps under the ID of a run."""

    file: str
    fingerprint: str
    topic: str
    run_id: str | None = None
    #: A topic that is deleted and created again has another ID; None where the broker has no IDs.
    topic_id: str | None = None

    @property
    def key(self) -> tuple[str, str, str]:
        """What identifies its progress: topic and run ID, wherever the file is; without a run ID, file and topic."""
        return "" if self.run_id is not None else self.file, self.topic, self.run_id or ""

    @property
    def run_digest(self) -> str:
        """Identifies the run among all others, those to an earlier topic of the same name included."""
        return _digest(*self.key, self.topic_id or "")

    @property
    def finished_name(self) -> str:
        """Identifies run and content among what has finished."""
        return f"{self.run_digest}-{self.fingerprint[:_SHORT]}"

    def is_to_earlier_topic(self, wanted: "PassKey") -> bool:
        """Whether the topic has been deleted and created again since this pass."""
        return None not in {self.topic_id, wanted.topic_id} and self.topic_id != wanted.topic_id


@dataclass(frozen=True, slots=True)
class PassProgress:
    """How far a pass has come; every row up to `last_processed_index` (from 0) is confirmed by the broker.

    A stream of random rows has no such index, only `total_sent`.
    """

    of: PassKey
    last_processed_index: Annotated[int, Meta(ge=-1)] = -1
    last_event_ts: str | None = None
    total_sent: Annotated[int, Meta(ge=0)] = 0
    complete: bool = False
    mode: Mode = "batch"
    #: The `finished_name` of each named run and content that has come to its end, oldest first.
    finished: tuple[str, ...] = ()
    #: Tells this pass from an earlier one over the same file.
    pass_id: str = ""

    @property
    def is_unfinished(self) -> bool:
        """Whether rows have been sent and rows are left: what has sent nothing holds nobody up."""
        return self.mode == "batch" and not self.complete and self.last_processed_index >= 0

    def advanced(self, rows: int, event_ts: str | None) -> "PassProgress":
        """So many rows further."""
        return replace(
            self,
            last_processed_index=self.last_processed_index + rows,
            last_event_ts=event_ts,
            total_sent=self.total_sent + rows,
        )

    def completed(self) -> "PassProgress":
        """At its end."""
        if self.of.run_id is None:
            return replace(self, complete=True)
        finished = (*without(self.finished, self.of), self.of.finished_name)
        return replace(self, complete=True, finished=finished[-_FINISHED_IN_FILE:])

    def has_finished(self, wanted: PassKey) -> bool:
        """Whether that is a named run that has come to its end with this content."""
        return wanted.run_id is not None and wanted.finished_name in self.finished


def without(finished: Iterable[str], of: PassKey) -> tuple[str, ...]:
    """Return the finished names except that of this run and content."""
    return tuple(name for name in finished if name != of.finished_name)


def of_other_runs(finished: Iterable[str], of: PassKey) -> tuple[str, ...]:
    """Return the finished names except those of this run."""
    return tuple(name for name in finished if not name.startswith(of.run_digest))


def latest_progress(marks: Iterable[PassProgress]) -> PassProgress | None:
    """Return the progress of the newest pass, given the newest mark of each pass of one key."""
    newest: PassProgress | None = None
    finished: tuple[str, ...] = ()
    for mark in sorted(marks, key=lambda mark: mark.last_event_ts or ""):
        newest = replace(mark, finished=finished)
        finished = newest.completed().finished if mark.complete else without(finished, mark.of)
    return newest and replace(newest, finished=finished)


_decode = msgspec.json.Decoder(PassProgress).decode


def encode_progress(progress: PassProgress) -> str:
    """One line of JSON."""
    return msgspec.json.encode(progress).decode()


def encode_note(progress: PassProgress) -> str:
    """Encode for Kafka, which takes 4 KiB: what has finished is left out, except the newest contents of this run."""
    own = [name for name in progress.finished if name.startswith(progress.of.run_digest)]
    return encode_progress(replace(progress, finished=tuple(own[-_FINISHED_IN_KAFKA:])))


def decode_progress(text: str | bytes) -> PassProgress:
    """The progress in such a line; raises `ValueError` where it isn't one."""
    try:
        return _decode(text)
    except RecursionError as error:
        raise ValueError("nested too deep") from error


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:_SHORT]
