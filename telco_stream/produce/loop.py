"""Sends the customers of a CSV to the raw topic once: a pass."""

import logging
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from telco_stream.contract.rows import Row, RowCodec
from telco_stream.csv.reader import BadRow, no_rows_error
from telco_stream.csv.validation import CsvFormat
from telco_stream.errors import DataError, UsageError
from telco_stream.messages.record import Message
from telco_stream.monitoring.protocols import ProduceObserver
from telco_stream.produce.progress import CheckpointFile, PassKey, PassProgress
from telco_stream.produce.results import SendResult, StopReason
from telco_stream.produce.rows import BadRowsFile, PassRows, Step, open_rows
from telco_stream.produce.start import find_start
from telco_stream.produce.writer import RowWriter
from telco_stream.runtime.signals import Stop, Stopped

log = logging.getLogger("telco_stream.produce.loop")

#: Rows and seconds between two confirmations: large enough to cost little, small enough to lose little.
_ROWS_PER_CONFIRMATION = 20_000
SECONDS_PER_CONFIRMATION = 0.5


@dataclass(frozen=True, slots=True)
class ProducePlan:
    """File to send and limits of one run; `batch_size` is in rows.

    Row n of a stream is sent `n / rate` seconds after the start, or at once if the rate is 0; `seed` selects its rows.
    """

    key: PassKey
    path: Path
    batch_size: int
    limit: int | None = None
    restart: bool = False
    rate: float = 0.0
    seed: int | None = None
    #: File for bad rows, which are then skipped.
    bad_rows: BadRowsFile | None = None
    csv_format: CsvFormat = field(default_factory=CsvFormat)


@dataclass(frozen=True, slots=True)
class ProduceDeps:
    """Dependencies of a run; `utc_timestamp` returns the time as RFC 3339."""

    writer: RowWriter
    checkpoint: CheckpointFile
    utc_timestamp: Callable[[], str]
    stop: Stop
    observer: ProduceObserver


def produce_pass(plan: ProducePlan, deps: ProduceDeps) -> SendResult:
    """Send the file's rows once, after the rows that earlier runs sent; raise `DataError` for an invalid row."""
    started = time.perf_counter()
    start, is_repeat = find_start(plan.key, deps.checkpoint, deps.writer, restart=plan.restart)
    if is_repeat and not plan.restart:
        log.warning(
            "an earlier run has sent %s to %s: its rows are sent again; --run-id ID sends a file once",
            plan.path.name,
            plan.key.topic,
            extra={"event": "sent_again", "facts": {"topic": plan.key.topic, "file": plan.path.name}},
        )
    progress = start
    deps.observer.resumed(start.rows_done)
    last = math.inf if plan.limit is None else start.last_processed_index + plan.limit
    try:
        while _should_continue(progress, last, deps.stop):
            with open_rows(plan.path, plan.csv_format, progress, plan.bad_rows, deps.stop) as rows:
                if progress is start:  # fail before the first row if the file can't be written
                    deps.checkpoint.write(start)
                for confirmed in _send_until_uncertain(plan, rows, progress, last, deps):
                    _write_checkpoint(start, progress, confirmed, deps)
                    progress = confirmed
            if _should_continue(progress, last, deps.stop):  # it is not certain that a transaction was committed
                deps.checkpoint.write(progress := _stored_progress(start, progress, deps))
    except Stopped:
        log.warning("stopped before Kafka confirmed all rows; the checkpoint covers only the confirmed rows")
    return SendResult(
        progress.total_sent - start.total_sent,
        start.rows_done if start.is_unfinished else None,
        time.perf_counter() - started,
        _stop_reason(start, progress, last),
        progress.rows_done,
        progress.skipped - start.skipped,
        is_repeat,
    )


def _write_checkpoint(start: PassProgress, previous: PassProgress, confirmed: PassProgress, deps: ProduceDeps) -> None:
    try:
        deps.checkpoint.write(confirmed)
    except UsageError as error:
        sent, lost = confirmed.total_sent - start.total_sent, confirmed.total_sent - previous.total_sent
        raise UsageError(
            f"{error}; {sent} rows were sent, and the checkpoint lacks the last {lost} of them, which the next run"
            " would send again"
        ) from error


def _should_continue(progress: PassProgress, last: float, stop: Stop) -> bool:
    return not (progress.complete or progress.last_processed_index >= last or stop.requested)


def _stored_progress(start: PassProgress, confirmed: PassProgress, deps: ProduceDeps) -> PassProgress:
    """Return the progress that Kafka has committed, to continue from after an uncertain transaction."""
    stored = deps.writer.read_progress()
    if stored is None and confirmed is not start:  # Kafka deleted the offset during the pass
        marked = deps.writer.search_marks(whole=True)
        stored = marked.progress if marked else confirmed
    progress = stored if stored and stored.pass_id == start.pass_id else confirmed
    return replace(progress, of=start.of, finished=start.finished)


def _stop_reason(start: PassProgress, progress: PassProgress, last: float) -> StopReason:
    if start.complete:
        return "already-complete"
    if progress.complete:
        return "end"
    return "limit" if progress.last_processed_index >= last else "signal"


def _send_until_uncertain(
    plan: ProducePlan, rows: PassRows, start: PassProgress, last: float, deps: ProduceDeps
) -> Iterator[PassProgress]:
    """Yield the progress after each confirmation; end with the pass, at a stop or after an uncertain transaction."""
    confirmed = start
    for sent in _send_chunks(plan, rows, start, last, deps):
        if not deps.writer.confirm(sent):
            return
        deps.observer.advance(sent.total_sent - confirmed.total_sent)
        yield (confirmed := sent)


def _send_chunks(
    plan: ProducePlan, rows: PassRows, start: PassProgress, last: float, deps: ProduceDeps
) -> Iterator[PassProgress]:
    """Send rows; yield the progress whenever a confirmation is due, and before an invalid chunk raises `DataError`."""
    size = min(plan.batch_size, _ROWS_PER_CONFIRMATION)
    yielded = sent = start
    deadline, error = time.monotonic() + SECONDS_PER_CONFIRMATION, None
    for step in rows.steps(size, last - start.last_processed_index):
        if step.bad and not rows.set_aside(step.bad):
            error = DataError(_describe_bad_row(plan, step.bad[0], sent))
            break
        if not (step.rows or step.bad or sent.rows_done):
            raise no_rows_error(plan.path)
        sent = _send_step(step, rows.codec, sent, deps)
        is_full = sent.last_processed_index + size > yielded.last_processed_index + _ROWS_PER_CONFIRMATION
        if is_full or time.monotonic() > deadline or deps.stop.requested:
            yield (yielded := sent)
            deadline = time.monotonic() + SECONDS_PER_CONFIRMATION
        if deps.stop.requested:
            break
    if sent is not yielded:
        yield sent
    if error:
        raise error


def _send_step(step: Step, codec: RowCodec, sent: PassProgress, deps: ProduceDeps) -> PassProgress:
    """Send the rows of a step and return the progress after it."""
    event_ts = sent.last_event_ts
    if step.rows:
        event_ts = deps.utc_timestamp()
        deps.writer.send(sent.of.topic, encode_rows(codec, step.rows, event_ts))
    rows = len(step.rows)
    sent = sent.advanced(rows + len(step.bad), event_ts, sent=rows, rows_hash=step.rows_hash)
    return sent.completed() if step.ends_file else sent


def _describe_bad_row(plan: ProducePlan, row: BadRow, sent: PassProgress) -> str:
    """Return the message for a row that is not sent, which says how to continue."""
    rows = f"{sent.total_sent:,} rows were sent" if sent.total_sent else "Nothing was sent yet"
    command = "the same command without --restart" if plan.restart else "the same command"
    return (
        f"{row.describe(plan.path)}. {rows}; {command} continues after the correction. --check lists the bad rows,"
        " --bad-rows FILE skips them"
    )


def encode_rows(codec: RowCodec, rows: Sequence[Row], event_ts: str) -> list[Message]:
    """Encode rows as messages of the raw topic."""
    key, encode = codec.key, codec.encode
    return [(key(row), encode(row, event_ts), []) for row in rows]
