"""Customers from a CSV to the raw topic: the whole file once, or an endless stream of random rows."""

import logging
import math
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from telco_stream.contract.raw_row import Row, encode_row
from telco_stream.csv.reader import read_chunks
from telco_stream.csv.sampler import RowSampler, open_sampler
from telco_stream.errors import DataError, UsageError
from telco_stream.messages.record import Message
from telco_stream.monitoring.protocols import ProduceObserver
from telco_stream.produce.checkpoint import (
    CheckpointFile,
    refuse_another_place,
    refuse_earlier_topic,
    refuse_lost_progress,
    start_of,
)
from telco_stream.produce.progress import PassKey, PassProgress, of_other_runs
from telco_stream.produce.writer import RowWriter
from telco_stream.runtime.choices import Mode
from telco_stream.runtime.signals import Stop, Stopped

log = logging.getLogger("telco_stream.produce.loop")

#: Rows, and seconds, after which what was sent is confirmed: enough to cost little, few enough to lose little.
_ROWS_A_CONFIRMATION = 20_000
_SECONDS_A_CONFIRMATION = 0.5
#: Seconds between two looks at the schedule, at the most.
_TICK = 0.05


@dataclass(frozen=True, slots=True)
class ProduceResult:
    """What one run of `produce` did; `end_offsets` is where the topic's partitions end after it."""

    mode: Mode
    topic: str
    run_id: str | None
    sent: int
    failed: int
    resumed_from: int | None
    end_offsets: Mapping[int, int]
    seconds: float
    rate: float


@dataclass(frozen=True, slots=True)
class Job:
    """What to send, and how much of it."""

    of: PassKey
    path: Path
    batch_size: int
    limit: int | None = None
    restart: bool = False


@dataclass(frozen=True, slots=True)
class Schedule:
    """Row n leaves at start + n / rate; a rate of 0 is as fast as possible."""

    rate: float
    seed: int | None = None


@dataclass(frozen=True, slots=True)
class ProduceDeps:
    """What a run works with: the way out, the file of its progress, and the world around it."""

    writer: RowWriter
    checkpoint: CheckpointFile
    now: Callable[[], str]
    stop: Stop
    watch: ProduceObserver


@dataclass(frozen=True, slots=True)
class SendTotals:
    """What a run has sent, for its result."""

    rows: int
    resumed_from: int | None
    seconds: float


def produce_pass(job: Job, deps: ProduceDeps) -> SendTotals:
    """Send the file's rows once, from where the last run of the same pass stopped; raises `DataError` on a bad one."""
    started = time.perf_counter()
    start = progress = find_start(job, deps)
    deps.watch.resumed(start.last_processed_index + 1)
    last = math.inf if job.limit is None else start.last_processed_index + job.limit
    if not start.complete:
        deps.checkpoint.write(start)  # a place that can't be written is better known before the first row
    try:
        while _should_continue(progress, last, deps.stop):
            for reached in _steps(job, progress, last, deps):
                _write_checkpoint(start, progress, reached, deps)
                progress = reached
            if _should_continue(progress, last, deps.stop):  # a transaction was lost
                deps.checkpoint.write(progress := _stored_progress(start, progress, deps))
    except Stopped:
        log.warning("stopped before Kafka had confirmed everything: what it has not is not in the checkpoint")
    resumed_from = start.last_processed_index + 1 if start.is_unfinished else None
    return SendTotals(progress.total_sent - start.total_sent, resumed_from, time.perf_counter() - started)


def produce_stream(job: Job, schedule: Schedule, deps: ProduceDeps) -> SendTotals:
    """Send random rows on a schedule, until stopped or until the job's limit."""
    started = time.perf_counter()
    progress = _start_of_stream(job, deps)
    deps.checkpoint.write(progress)
    with ExitStack() as open_file:
        with deps.stop.interrupting():  # the file is checked whole, and may be long
            population = open_file.enter_context(open_sampler(job.path))
        for reached in _confirmed(progress, _paced_sends(job, schedule, population, deps), deps):
            deps.watch.advance(reached.total_sent - progress.total_sent)
            deps.checkpoint.write(progress := reached)
    return SendTotals(progress.total_sent, None, time.perf_counter() - started)


def find_start(job: Job, deps: ProduceDeps) -> PassProgress:
    """Where the pass begins. Where Kafka keeps the progress too, Kafka is believed, and the file is its mirror."""
    in_file = _unless_restart(deps.checkpoint.read, job)
    if in_file and not job.restart:
        _check_file(job.of, in_file, is_shared=deps.writer.stores_progress)
    if not deps.writer.stores_progress:
        return start_of(job.of, in_file, restart=job.restart)
    in_kafka = _unless_restart(deps.writer.found, job)
    if in_kafka is None and not job.restart:
        in_kafka = _recover_progress(job.of, in_file, deps.writer)
    elif in_file and in_file.of.key == job.of.key and not job.restart:
        _warn_if_different(job.of, in_file, start_of(job.of, in_kafka))
    start = start_of(job.of, in_kafka, restart=job.restart)
    # Only the file knows of the other runs: in Kafka each has its own place.
    others = of_other_runs(in_file.finished, job.of) if in_file else ()
    return replace(start, finished=(*others, *start.finished))


def _unless_restart(read: Callable[[], PassProgress | None], job: Job) -> PassProgress | None:
    """What can be read; with --restart, None where it can't be understood."""
    try:
        return read()
    except DataError:
        if job.restart:
            return None
        raise


def _check_file(wanted: PassKey, in_file: PassProgress, *, is_shared: bool) -> None:
    """Refuse a file that is in the way; named runs may share it where each finds its own progress in Kafka."""
    refuse_earlier_topic(wanted, in_file)
    if is_shared and wanted.run_id is None:
        refuse_another_place(wanted, in_file)
    if wanted.run_id is not None and in_file.of.key == wanted.key and in_file.of.is_to_earlier_topic(wanted):
        log.warning("topic %s has been deleted and created again: what this run has sent to it is gone", wanted.topic)


def _recover_progress(wanted: PassKey, in_file: PassProgress | None, writer: RowWriter) -> PassProgress | None:
    """The progress that Kafka has deleted for its age, or never had; raises `DataError` where it is lost."""
    if in_file and in_file.has_finished(wanted):  # it is written after the commit, and so never ahead
        return in_file
    of_this = in_file if in_file and in_file.is_unfinished and in_file.of.key == wanted.key else None
    marked = writer.search_marks(whole=of_this is not None)
    if marked and marked.progress.is_unfinished and not marked.is_certain:
        refuse_lost_progress(of_this)
    if marked is None and of_this:
        refuse_lost_progress(start_of(wanted, of_this))
    if marked is None:
        return None
    row = marked.progress.last_processed_index + 1
    log.warning("Kafka no longer has the progress of this pass; its records say that row %d was the last", row)
    return marked.progress


def _start_of_stream(job: Job, deps: ProduceDeps) -> PassProgress:
    found = _unless_restart(deps.checkpoint.read, job)
    if found and found.is_unfinished and not job.restart:
        raise DataError(
            f"{deps.checkpoint.path} holds the unfinished pass of {found.of.file}: finish it with --mode batch, give"
            " another --checkpoint-file, or start over with --restart"
        )
    return PassProgress(job.of, mode="streaming", finished=found.finished if found else ())


def _write_checkpoint(start: PassProgress, before: PassProgress, reached: PassProgress, deps: ProduceDeps) -> None:
    try:
        deps.checkpoint.write(reached)
    except UsageError as error:
        sent, lost = reached.total_sent - start.total_sent, reached.total_sent - before.total_sent
        raise UsageError(
            f"{error}; {sent} rows were sent, and the checkpoint lacks the last {lost} of them, which the next run"
            " would send again"
        ) from error


def _warn_if_different(wanted: PassKey, in_file: PassProgress, in_kafka: PassProgress) -> None:
    rows = [
        progress.last_processed_index + 1 if progress.is_unfinished or progress.has_finished(wanted) else 0
        for progress in (in_file, in_kafka)
    ]
    if rows[0] != rows[1]:
        log.warning("the checkpoint file says row %d, Kafka says row %d: Kafka is right", *rows)


def _should_continue(progress: PassProgress, last: float, stop: Stop) -> bool:
    return not (progress.complete or progress.last_processed_index >= last or stop.requested)


def _stored_progress(start: PassProgress, confirmed: PassProgress, deps: ProduceDeps) -> PassProgress:
    """The progress that Kafka has committed: where a pass goes on after a lost transaction."""
    found = deps.writer.found()
    if found is None and confirmed is not start:  # deleted in the middle of the pass
        marked = deps.writer.search_marks(whole=True)
        found = marked.progress if marked else confirmed
    kept = found if found and found.pass_id == start.pass_id else confirmed
    return replace(kept, of=start.of, finished=start.finished)


def _steps(job: Job, start: PassProgress, last: float, deps: ProduceDeps) -> Iterator[PassProgress]:
    """The progress after each confirmation; ends with the pass, with a stop, or where a transaction was lost."""
    chunks, progress = _Chunks(job, start, last, deps.stop), start
    while not (progress.complete or chunks.is_over or deps.stop.requested):
        ahead = _send_some(chunks, progress, deps)
        if ahead is progress:  # the chunk that came next is bad
            break
        if not deps.writer.confirm(ahead):
            return
        deps.watch.advance(ahead.last_processed_index - progress.last_processed_index)
        yield (progress := ahead)
    if chunks.fault:
        raise chunks.fault


def _send_some(chunks: "_Chunks", progress: PassProgress, deps: ProduceDeps) -> PassProgress:
    """Send until a confirmation is due; the progress that it will confirm."""
    due = time.monotonic() + _SECONDS_A_CONFIRMATION
    most = progress.last_processed_index + _ROWS_A_CONFIRMATION
    for rows in chunks:
        event_ts = deps.now()
        deps.writer.send(progress.of.topic, _messages(rows, event_ts))
        progress = progress.advanced(len(rows), event_ts)
        if chunks.at_end:
            return progress.completed()
        if progress.last_processed_index + chunks.size > most or time.monotonic() > due or deps.stop.requested:
            return progress
    return progress.completed() if chunks.at_end else progress


class _Chunks:
    """The file's checked rows up to a limit. A bad chunk ends them; its fault waits until the good are confirmed."""

    def __init__(self, job: Job, start: PassProgress, last: float, stop: Stop) -> None:
        self.size = min(job.batch_size, _ROWS_A_CONFIRMATION)
        self.at_end = False
        self.is_over = False
        self.fault: DataError | None = None
        skip = start.last_processed_index + 1
        self._rows = self._read(job.path, skip, last + 1 - skip, stop)

    def __iter__(self) -> Iterator[list[Row]]:
        return self._rows

    def _read(self, path: Path, skip: int, room: float, stop: Stop) -> Iterator[list[Row]]:
        chunks = read_chunks(path, self.size, skip=skip)
        with stop.interrupting():  # the rows to pass over may be many
            rows = self._next(chunks)
        self.at_end = not (rows or self.fault)
        while rows and room > 0:
            # Read ahead: the record that is the pass's last one says so.
            following, room = self._next(chunks), room - len(rows)
            self.at_end = not (following or self.fault) and room >= 0
            if room <= 0:
                self.fault = None  # it is not for this run
            yield rows if room >= 0 else rows[: int(room)]
            rows = following
        self.is_over = True

    def _next(self, chunks: Iterator[list[Row]]) -> list[Row] | None:
        try:
            return next(chunks, None)
        except DataError as error:
            self.fault = error
            return None


def _paced_sends(job: Job, schedule: Schedule, population: RowSampler, deps: ProduceDeps) -> Iterator[tuple[int, str]]:
    """Sends on the schedule; how many rows have left and when the last did, as often as a confirmation is due."""
    draws, clock = random.Random(schedule.seed), time.monotonic  # noqa: S311 - customers, no secrets
    started, sent, event_ts, due = clock(), 0, deps.now(), clock() + _SECONDS_A_CONFIRMATION
    most = math.inf if job.limit is None else job.limit
    with suppress(Stopped):  # a queue that stays full is left behind; what has arrived is still counted
        while sent < most and not deps.stop.requested:
            if rows := _rows_due(schedule, clock() - started, sent, most, job.batch_size):
                event_ts = deps.now()
                deps.writer.send(job.of.topic, _messages(population.draw(draws, rows), event_ts))
                sent += rows
            else:
                deps.stop.wait(min(_TICK, max(0.0, started + sent / schedule.rate - clock())))
            if clock() > due:
                yield sent, event_ts
                due = clock() + _SECONDS_A_CONFIRMATION
    yield sent, event_ts


def _rows_due(schedule: Schedule, elapsed: float, sent: int, most: float, batch_size: int) -> int:
    due = int(elapsed * schedule.rate) + 1 if schedule.rate else math.inf
    return int(min(due - sent, most - sent, batch_size))


def _confirmed(
    progress: PassProgress, departures: Iterator[tuple[int, str]], deps: ProduceDeps
) -> Iterator[PassProgress]:
    """The progress after each confirmation of new rows; at a stop that leaves no time, what has arrived by then."""
    sent, event_ts = 0, None
    try:
        for sent, event_ts in departures:
            if sent > progress.total_sent:
                deps.writer.confirm(progress)
                yield (progress := replace(progress, total_sent=sent, last_event_ts=event_ts))
    except Stopped:
        arrived = sent - deps.writer.unconfirmed()
        if arrived > progress.total_sent:
            yield replace(progress, total_sent=arrived, last_event_ts=event_ts)


def _messages(rows: Sequence[Row], event_ts: str) -> list[Message]:
    return [(row.key, encode_row(row, event_ts), []) for row in rows]
