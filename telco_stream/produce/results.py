"""Results of a run of `produce`; the display reads them without a client library."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from telco_stream.runtime.choices import Mode

#: Why a run ended: the file or the limit was reached, the run had finished earlier, or a stop was requested.
StopReason: TypeAlias = Literal["end", "limit", "already-complete", "signal"]


@dataclass(frozen=True, slots=True)
class SendResult:
    """Confirmed rows of one run, and why it ended; `position` counts the file's rows that the pass has processed."""

    rows: int
    resumed_from: int | None
    seconds: float
    stopped_by: StopReason = "signal"
    position: int | None = None
    bad_rows: int = 0
    is_repeat: bool = False


@dataclass(frozen=True, slots=True)
class ProduceResult:
    """Result of one run of `produce`; `end_offsets` are the topic's end offsets after it, with transaction markers.

    In batch mode, `rows_done` of about `rows_total` rows in the file have been processed, by this and earlier runs.
    `stopped_by` is `end`, `limit`, `signal`, or `already-complete` for a finished run ID. `sent_again` is true if the
    file was sent before, without a run ID.
    """

    mode: Mode
    topic: str
    run_id: str | None
    sent: int
    failed: int
    resumed_from: int | None
    end_offsets: Mapping[int, int]
    seconds: float
    rate: float
    stopped_by: StopReason
    bad_rows: int
    rows_done: int | None
    rows_total: int | None
    sent_again: bool
