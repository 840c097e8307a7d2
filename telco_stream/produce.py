"""Customers from a CSV to the raw topic: the whole file once, or an endless stream of random rows."""

import logging
import math
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, Protocol

from telco_stream.checkpoint import CheckpointFile, Pass, Progress, start_of
from telco_stream.errors import DataError
from telco_stream.kafka.outlet import Outlet
from telco_stream.records import Message
from telco_stream.rows import Population, Row, encode_row, load_rows, read_chunks
from telco_stream.stop import Stop, Stopped

log = logging.getLogger("telco_stream.produce")

#: Rows, and seconds, after which what was sent is confirmed: enough to cost little, few enough to lose little.
_ROWS_A_CONFIRMATION = 20_000
_SECONDS_A_CONFIRMATION = 0.5
#: Seconds between two looks at the schedule, at the most.
_TICK = 0.05


@dataclass(frozen=True, slots=True)
class ProduceResult:
    """What one run of `produce` did; `end_offsets` is where the topic's partitions end after it."""

    mode: Literal["batch", "streaming"]
    topic: str
    run_id: str | None
    sent: int
    failed: int
    resumed_from: int | None
    end_offsets: Mapping[int, int]
    seconds: float
    rate: float


class Watch(Protocol):
    """Whoever looks on."""

    def advance(self, rows: int) -> None:
        """So many more rows have arrived."""


@dataclass(frozen=True, slots=True)
class Job:
    """What to send, and how much of it."""

    of: Pass
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
class Hands:
    """What a run works with: the way out, the file of its progress, and the world around it."""

    outlet: Outlet
    checkpoint: CheckpointFile
    now: Callable[[], str]
    stop: Stop
    watch: Watch


@dataclass(frozen=True, slots=True)
class Sent:
    """What a run has sent, for its result."""

    rows: int
    resumed_from: int | None
    seconds: float


def produce_pass(job: Job, hands: Hands) -> Sent:
    """Send the file's rows once, from where the last run of the same pass stopped; raises `DataError` on a bad one."""
    started = time.perf_counter()
    start = progress = find_start(job, hands)
    last = math.inf if job.limit is None else start.last_processed_index + job.limit
    try:
        while not (progress.complete or progress.last_processed_index >= last or hands.stop.requested):
            for reached in _steps(job, progress, last, hands):
                hands.checkpoint.write(progress := reached)
            if not progress.complete:
                progress = _as_kept(start, progress, hands)
    except Stopped:
        log.warning("stopped before Kafka had confirmed everything: what it has not is not in the checkpoint")
    rows = progress.last_processed_index - start.last_processed_index
    resumed_from = start.last_processed_index + 1 if start.last_processed_index >= 0 else None
    return Sent(rows, resumed_from, time.perf_counter() - started)


def produce_stream(job: Job, schedule: Schedule, hands: Hands) -> Sent:
    """Send random rows on a schedule, until stopped or until the job's limit."""
    started = time.perf_counter()
    before = start_of(job.of, hands.checkpoint.read(), restart=job.restart)
    if before.last_processed_index >= 0 and not before.complete:
        raise DataError(f"{hands.checkpoint.path} holds an unfinished batch pass: finish it, or give --restart")
    sent = 0
    with load_rows(job.path) as population:
        for arrived in _confirmed(job, schedule, population, hands):
            hands.watch.advance(arrived - sent)
            sent = arrived
            hands.checkpoint.write(replace(before, mode="streaming", last_event_ts=hands.now(), total_sent=sent))
    return Sent(sent, None, time.perf_counter() - started)


def find_start(job: Job, hands: Hands) -> Progress:
    """Where the pass begins. Where Kafka keeps the progress too, Kafka is believed."""
    in_file = None if job.restart else hands.checkpoint.read()
    if in_file and hands.outlet.keeps_progress and _is_another_run(in_file.of, job.of):
        in_file = None  # each run has its own progress in Kafka, while the file mirrors the last one only
    by_file = start_of(job.of, in_file)
    if not hands.outlet.keeps_progress:
        return by_file
    by_kafka = start_of(job.of, None if job.restart else hands.outlet.found())
    if in_file and by_kafka.last_processed_index != by_file.last_processed_index:
        log.warning(
            "the checkpoint file says row %d, Kafka says row %d: Kafka is right",
            by_file.last_processed_index + 1,
            by_kafka.last_processed_index + 1,
        )
    return by_kafka


def _is_another_run(found: Pass, wanted: Pass) -> bool:
    return (found.file, found.topic) == (wanted.file, wanted.topic) and found.run_id != wanted.run_id


def _as_kept(start: Progress, progress: Progress, hands: Hands) -> Progress:
    """The progress that Kafka has committed, where it keeps one: a lost transaction takes the pass back to it."""
    if not hands.outlet.keeps_progress:
        return progress
    found = hands.outlet.found()
    return found if found and found.pass_id == start.pass_id else start


def _steps(job: Job, start: Progress, last: float, hands: Hands) -> Iterator[Progress]:
    """The progress after each confirmation; ends with the pass, with a stop, or where a transaction was lost."""
    chunks, progress = _Chunks(job, start, last), start
    while not (progress.complete or chunks.is_over or hands.stop.requested):
        ahead = _send_some(chunks, progress, hands)
        if not hands.outlet.confirm(ahead):
            return
        hands.watch.advance(ahead.last_processed_index - progress.last_processed_index)
        yield (progress := ahead)
    if chunks.fault:
        raise chunks.fault


def _send_some(chunks: "_Chunks", progress: Progress, hands: Hands) -> Progress:
    """Send until a confirmation is due; the progress that it will confirm."""
    due = time.monotonic() + _SECONDS_A_CONFIRMATION
    most = progress.last_processed_index + _ROWS_A_CONFIRMATION
    for rows in chunks:
        event_ts = hands.now()
        hands.outlet.send(progress.of.topic, _messages(rows, event_ts))
        progress = progress.advanced(len(rows), event_ts)
        if progress.last_processed_index + chunks.size > most or time.monotonic() > due or hands.stop.requested:
            return progress
    return progress.completed() if chunks.at_end else progress


class _Chunks:
    """The file's checked rows up to a limit. A bad chunk ends them; its fault waits until the good are confirmed."""

    def __init__(self, job: Job, start: Progress, last: float) -> None:
        self.size = min(job.batch_size, _ROWS_A_CONFIRMATION)
        self.at_end = False
        self.is_over = False
        self.fault: DataError | None = None
        self._rows = self._read(job.path, start.last_processed_index + 1, last)

    def __iter__(self) -> Iterator[list[Row]]:
        return self._rows

    def _read(self, path: Path, skip: int, last: float) -> Iterator[list[Row]]:
        room = last + 1 - skip
        try:
            for rows in read_chunks(path, self.size, skip=skip):
                if room:
                    yield rows if len(rows) <= room else rows[: int(room)]
                room = room - len(rows)
                if room < 0:  # there is more, but not for this run
                    break
            else:
                self.at_end = True
        except DataError as error:
            self.fault = error if room > 0 else None
        self.is_over = True


def _confirmed(job: Job, schedule: Schedule, population: Population, hands: Hands) -> Iterator[int]:
    """How many rows have been confirmed so far; ends at the job's limit, or with a stop."""
    draws, clock = random.Random(schedule.seed), time.monotonic  # noqa: S311 - customers, no secrets
    started, sent, due = clock(), 0, clock() + _SECONDS_A_CONFIRMATION
    most = math.inf if job.limit is None else job.limit
    while sent < most and not hands.stop.requested:
        rows = _rows_due(schedule, clock() - started, sent, most, job.batch_size)
        if rows:
            hands.outlet.send(job.of.topic, _messages(population.draw(draws, rows), hands.now()))
            sent += rows
        else:
            hands.stop.wait(min(_TICK, max(0.0, started + sent / schedule.rate - clock())))
        if clock() > due:
            yield _confirm(job, sent, hands)
            due = clock() + _SECONDS_A_CONFIRMATION
    yield _confirm(job, sent, hands)


def _rows_due(schedule: Schedule, elapsed: float, sent: int, most: float, batch_size: int) -> int:
    due = int(elapsed * schedule.rate) + 1 if schedule.rate else math.inf
    return int(min(due - sent, most - sent, batch_size))


def _confirm(job: Job, sent: int, hands: Hands) -> int:
    """How many of the rows sent have arrived: all, unless a stop leaves no time to wait for the rest."""
    try:
        hands.outlet.confirm(Progress(job.of))
    except Stopped:
        return sent - hands.outlet.unconfirmed()
    return sent


def _messages(rows: Sequence[Row], event_ts: str) -> list[Message]:
    return [(row.key, encode_row(row, event_ts), []) for row in rows]
