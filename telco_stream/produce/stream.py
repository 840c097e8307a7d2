"""Sends random customers of a CSV to the raw topic, on a schedule."""

import math
import random
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import replace

from telco_stream.csv.sampler import RowSampler, open_sampler
from telco_stream.produce.loop import SECONDS_PER_CONFIRMATION, ProduceDeps, ProducePlan, encode_rows
from telco_stream.produce.progress import PassProgress
from telco_stream.produce.results import SendResult, StopReason
from telco_stream.produce.start import start_of_stream
from telco_stream.runtime.signals import Stopped

#: Maximum number of seconds to wait for the next row.
_MAX_WAIT = 0.05


def produce_stream(plan: ProducePlan, deps: ProduceDeps) -> SendResult:
    """Send random rows on a schedule, until stopped or up to the limit."""
    started = time.perf_counter()
    progress = start_of_stream(plan.key, deps.checkpoint, restart=plan.restart)
    deps.checkpoint.write(progress)
    with ExitStack() as open_file:
        with deps.stop.interrupting():  # the whole file is checked, which can take long
            sampler = open_file.enter_context(open_sampler(plan.path, plan.csv_format))
        for confirmed in _confirm(progress, _send_paced(plan, sampler, deps), deps):
            deps.observer.advance(confirmed.total_sent - progress.total_sent)
            deps.checkpoint.write(progress := confirmed)
    by: StopReason = "limit" if progress.total_sent == plan.limit else "signal"
    return SendResult(progress.total_sent, None, time.perf_counter() - started, by)


def _send_paced(plan: ProducePlan, sampler: RowSampler, deps: ProduceDeps) -> Iterator[tuple[int, str]]:
    """Send rows on the schedule; yield their number and the last event time whenever a confirmation is due."""
    rng, clock = random.Random(plan.seed), time.monotonic  # noqa: S311 - draws customers, not secrets
    started, sent, event_ts, due = clock(), 0, deps.utc_timestamp(), clock() + SECONDS_PER_CONFIRMATION
    limit = math.inf if plan.limit is None else plan.limit
    with suppress(Stopped):  # stopped while the client's queue was full: count what has arrived
        while sent < limit and not deps.stop.requested:
            if rows := _rows_due(plan, clock() - started, sent, limit):
                event_ts = deps.utc_timestamp()
                deps.writer.send(plan.key.topic, encode_rows(sampler.layout.codec, sampler.draw(rng, rows), event_ts))
                sent += rows
            else:
                deps.stop.wait(min(_MAX_WAIT, max(0.0, started + sent / plan.rate - clock())))
            if clock() > due:
                yield sent, event_ts
                due = clock() + SECONDS_PER_CONFIRMATION
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
