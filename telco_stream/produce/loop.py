"""Sends customers from a CSV to the raw topic: the whole file once, or an endless stream of random rows."""

import logging
import math
import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from telco_stream.contract.raw_row import Row, encode_row
from telco_stream.csv.reader import read_chunks
from telco_stream.csv.sampler import RowSampler, open_sampler
from telco_stream.errors import DataError, UsageError
from telco_stream.messages.record import Message
from telco_stream.monitoring.protocols import ProduceObserver
from telco_stream.produce.progress import CheckpointFile, PassKey, PassProgress
from telco_stream.produce.start import find_start, start_of_stream
from telco_stream.produce.writer import RowWriter
from telco_stream.runtime.signals import Stop, Stopped

log = logging.getLogger("telco_stream.produce.loop")

#: Rows and seconds between two confirmations: large enough to cost little, small enough to lose little.
_ROWS_PER_CONFIRMATION = 20_000
_SECONDS_PER_CONFIRMATION = 0.5
#: Maximum number of seconds to wait for the next row of a stream.
_MAX_WAIT = 0.05


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


@dataclass(frozen=True, slots=True)
class ProduceDeps:
    """Dependencies of a run; `utc_timestamp` returns the time as RFC 3339."""

    writer: RowWriter
    checkpoint: CheckpointFile
    utc_timestamp: Callable[[], str]
    stop: Stop
    observer: ProduceObserver


@dataclass(frozen=True, slots=True)
class SendResult:
    """Confirmed rows of one run."""

    rows: int
    resumed_from: int | None
    seconds: float


def produce_pass(plan: ProducePlan, deps: ProduceDeps) -> SendResult:
    """Send the file's rows once, after the rows that earlier runs sent; raise `DataError` for an invalid row."""
    started = time.perf_counter()
    start = progress = find_start(plan.key, deps.checkpoint, deps.writer, restart=plan.restart)
    deps.observer.resumed(start.last_processed_index + 1)
    last = math.inf if plan.limit is None else start.last_processed_index + plan.limit
    if not start.complete:
        deps.checkpoint.write(start)  # fail before the first row if the file can't be written
    try:
        while _should_continue(progress, last, deps.stop):
            for confirmed in _send_until_uncertain(plan, progress, last, deps):
                _write_checkpoint(start, progress, confirmed, deps)
                progress = confirmed
            if _should_continue(progress, last, deps.stop):  # it is not certain that a transaction was committed
                deps.checkpoint.write(progress := _stored_progress(start, progress, deps))
    except Stopped:
        log.warning("stopped before Kafka confirmed all rows; the checkpoint covers only the confirmed rows")
    resumed_from = start.last_processed_index + 1 if start.is_unfinished else None
    return SendResult(progress.total_sent - start.total_sent, resumed_from, time.perf_counter() - started)


def produce_stream(plan: ProducePlan, deps: ProduceDeps) -> SendResult:
    """Send random rows on a schedule, until stopped or up to the limit."""
    started = time.perf_counter()
    progress = start_of_stream(plan.key, deps.checkpoint, restart=plan.restart)
    deps.checkpoint.write(progress)
    with ExitStack() as open_file:
        with deps.stop.interrupting():  # the whole file is checked, which can take long
            sampler = open_file.enter_context(open_sampler(plan.path))
        for confirmed in _confirm(progress, _send_paced(plan, sampler, deps), deps):
            deps.observer.advance(confirmed.total_sent - progress.total_sent)
            deps.checkpoint.write(progress := confirmed)
    return SendResult(progress.total_sent, None, time.perf_counter() - started)


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


def _send_until_uncertain(
    plan: ProducePlan, start: PassProgress, last: float, deps: ProduceDeps
) -> Iterator[PassProgress]:
    """Yield the progress after each confirmation; end with the pass, at a stop or after an uncertain transaction."""
    confirmed = start
    for sent in _send_chunks(plan, start, last, deps):
        if not deps.writer.confirm(sent):
            return
        deps.observer.advance(sent.last_processed_index - confirmed.last_processed_index)
        yield (confirmed := sent)


def _send_chunks(plan: ProducePlan, start: PassProgress, last: float, deps: ProduceDeps) -> Iterator[PassProgress]:
    """Send rows; yield the progress whenever a confirmation is due, and before an invalid chunk raises `DataError`."""
    size = min(plan.batch_size, _ROWS_PER_CONFIRMATION)
    yielded = sent = start
    deadline, error = time.monotonic() + _SECONDS_PER_CONFIRMATION, None
    try:
        for rows, is_at_end in _read_chunks(plan.path, size, start, last, deps.stop):
            if rows:
                event_ts = deps.utc_timestamp()
                deps.writer.send(sent.of.topic, _messages(rows, event_ts))
                sent = sent.advanced(len(rows), event_ts)
            if is_at_end:
                sent = sent.completed()
            is_full = sent.last_processed_index + size > yielded.last_processed_index + _ROWS_PER_CONFIRMATION
            if is_full or time.monotonic() > deadline or deps.stop.requested:
                yield (yielded := sent)
                deadline = time.monotonic() + _SECONDS_PER_CONFIRMATION
            if deps.stop.requested:
                break
    except DataError as invalid:
        error = invalid
    if sent is not yielded:
        yield sent
    if error:
        raise error


def _read_chunks(
    path: Path, size: int, start: PassProgress, last: float, stop: Stop
) -> Iterator[tuple[list[Row], bool]]:
    """Yield the file's checked rows from `start` up to index `last`, in chunks, and whether each one ends the file."""
    chunks = read_chunks(path, size, skip=start.last_processed_index + 1)
    remaining = last - start.last_processed_index
    with stop.interrupting():  # skipping many rows can take long
        rows = next(chunks, None)
    if rows is None:
        yield [], True
    while rows and remaining > 0:
        # Read one chunk ahead, because the confirmation of the last row also marks the pass as finished.
        following, error = None, None
        try:
            following = next(chunks, None)
        except DataError as invalid:
            error = invalid
        remaining -= len(rows)
        is_at_end = remaining >= 0 and not (following or error)
        yield rows if remaining >= 0 else rows[: int(remaining)], is_at_end
        if error and remaining > 0:
            raise error
        rows = following


def _send_paced(plan: ProducePlan, sampler: RowSampler, deps: ProduceDeps) -> Iterator[tuple[int, str]]:
    """Send rows on the schedule; yield their number and the last event time whenever a confirmation is due."""
    rng, clock = random.Random(plan.seed), time.monotonic  # noqa: S311 - draws customers, not secrets
    started, sent, event_ts, due = clock(), 0, deps.utc_timestamp(), clock() + _SECONDS_PER_CONFIRMATION
    limit = math.inf if plan.limit is None else plan.limit
    with suppress(Stopped):  # stopped while the client's queue was full: count what has arrived
        while sent < limit and not deps.stop.requested:
            if rows := _rows_due(plan, clock() - started, sent, limit):
                event_ts = deps.utc_timestamp()
                deps.writer.send(plan.key.topic, _messages(sampler.draw(rng, rows), event_ts))
                sent += rows
            else:
                deps.stop.wait(min(_MAX_WAIT, max(0.0, started + sent / plan.rate - clock())))
            if clock() > due:
                yield sent, event_ts
                due = clock() + _SECONDS_PER_CONFIRMATION
    yield sent, event_ts


def _rows_due(plan: ProducePlan, elapsed: float, sent: int, limit: float) -> int:
    due = int(elapsed * plan.rate) + 1 if plan.rate else math.inf
    return int(min(due - sent, limit - sent, plan.batch_size))


def _confirm(progress: PassProgress, sends: Iterator[tuple[int, str]], deps: ProduceDeps) -> Iterator[PassProgress]:
    """Yield the progress after each confirmation; if a stop interrupts one, the rows that have arrived until then."""
    sent, event_ts = 0, None
    try:
        for sent, event_ts in sends:
            if sent > progress.total_sent:
                deps.writer.confirm(progress)
                yield (progress := replace(progress, total_sent=sent, last_event_ts=event_ts))
    except Stopped:
        arrived = sent - deps.writer.unconfirmed()
        if arrived > progress.total_sent:
            yield replace(progress, total_sent=arrived, last_event_ts=event_ts)


def _messages(rows: Sequence[Row], event_ts: str) -> list[Message]:
    return [(row.key, encode_row(row, event_ts), []) for row in rows]
