"""How far a pass over a file has come: what the checkpoint file says, and the note beside an offset in Kafka."""

from dataclasses import dataclass, replace
from typing import Annotated, Literal, TypeAlias

import msgspec
from msgspec import Meta

#: File, topic, and the id of a named run.
Run: TypeAlias = tuple[str, str, str | None]


@dataclass(frozen=True, slots=True)
class Pass:
    """Which rows go where: a file with this content, to that topic, perhaps under the name of a run."""

    file: str
    fingerprint: str
    topic: str
    run_id: str | None = None

    @property
    def name(self) -> Run:
        """What the progress belongs to; the content may change under it."""
        return self.file, self.topic, self.run_id


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a pass has come; every row up to `last_processed_index` (from 0) is confirmed by the broker.

    A stream of random rows has no such index, only `total_sent`.
    """

    of: Pass
    last_processed_index: Annotated[int, Meta(ge=-1)] = -1
    last_event_ts: str | None = None
    total_sent: Annotated[int, Meta(ge=0)] = 0
    complete: bool = False
    mode: Literal["batch", "streaming"] = "batch"
    #: Named runs that have come to their end: they send nothing again.
    finished_runs: tuple[Run, ...] = ()
    #: Tells this pass from an earlier one over the same file.
    pass_id: str = ""

    @property
    def is_unfinished(self) -> bool:
        """Whether rows have been sent and rows are left: what has sent nothing holds nobody up."""
        return self.mode == "batch" and not self.complete and self.last_processed_index >= 0

    def advanced(self, rows: int, event_ts: str | None) -> "Progress":
        """So many rows further."""
        return replace(
            self,
            last_processed_index=self.last_processed_index + rows,
            last_event_ts=event_ts,
            total_sent=self.total_sent + rows,
        )

    def completed(self) -> "Progress":
        """At its end."""
        own = () if self.of.run_id is None else (self.of.name,)
        return replace(self, complete=True, finished_runs=tuple(dict.fromkeys((*self.finished_runs, *own))))

    def has_finished(self, wanted: Pass) -> bool:
        """Whether that is a named run that has come to its end."""
        here = self.complete and self.of.name == wanted.name
        return wanted.run_id is not None and (here or wanted.name in self.finished_runs)


_decode = msgspec.json.Decoder(Progress).decode


def encode_progress(progress: Progress) -> str:
    """One line of JSON."""
    return msgspec.json.encode(progress).decode()


def decode_progress(text: str | bytes) -> Progress:
    """The progress in such a line; raises `ValueError` where it isn't one."""
    try:
        return _decode(text)
    except RecursionError as error:
        raise ValueError("nested too deep") from error
