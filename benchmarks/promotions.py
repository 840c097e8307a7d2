"""Cost of a topic of models, on a real Kafka: `python -m benchmarks.promotions`.

Streams customers to three consumers, with a fixed folder, with 50 promotions in a minute, and with a shadow. Prints for
each the CPU time per record, the longest pause between two predictions of a partition, and the growth of the memory.
Then drains a full topic with one consumer, and prints the goals.
"""

import math
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import pairwise
from pathlib import Path
from random import Random

from benchmarks.broker import running_broker
from benchmarks.figures import figure
from benchmarks.goals import PROMOTION_GOALS
from benchmarks.processes import Process, cli
from benchmarks.table import goal_lines
from tests.faults.load import Load
from tests.faults.numbered import numbered
from tests.support.published_models import OPEN_GATE, PublishedModels
from tests.support.topics import Topics, create_topics, delete_topics, fresh_topics, read_topic
from tests.support.waiting import wait_until

WORKERS = 3
RATE, SECONDS = 5_000, 60
PROMOTIONS, INTERVAL = 50, 1.2
#: Enough for about ten promotions in a drain.
DRAINED = 1_200_000
#: Milliseconds after the first prediction in which the consumers still join the group.
JOINING = 5_000
#: Promotions after which the memory is the base: allocators keep what the first ones have used.
SETTLED = 10


def main() -> None:
    """Print the figures."""
    runs: dict[str, list[Values]] = {}
    with running_broker() as bootstrap:
        for name, act in (("folder", None), ("promotions", _promote), ("shadow", _shadow), ("folder", None)):
            runs.setdefault(name, []).append(_stream(bootstrap, name, act))
        for name, act in (("folder", None), ("promotions", _promote), ("shadow", _shadow)) * 2:
            runs.setdefault(f"drained, {name}", []).append(_drain(bootstrap, name, act))
    figures = {
        name: {measure: figure([run[measure] for run in values], 3) for measure in values[0]}
        for name, values in runs.items()
    }
    print("", *goal_lines(PROMOTION_GOALS, figures), sep="\n")


#: Values of a run by measure.
Values = dict[str, float]
Act = Callable[[PublishedModels, Callable[[], bool], list[Process]], float]


def _stream(bootstrap: str, name: str, act: Act | None) -> Values:
    with _models(bootstrap, act is not None) as (topics, models), tempfile.TemporaryDirectory() as folder:
        env = _env(bootstrap, topics, models if act else None)
        command = cli("consume", "--mode", "streaming", "--no-live", "--quiet", "--output", "json")
        workers = [Process(command, env, Path(folder)) for _ in range(WORKERS)]
        load = Load(bootstrap, topics.raw, numbered(Random(1)), rate=RATE, least=0)
        try:
            time.sleep(8)  # until the group is stable
            load.start()
            ended = time.monotonic() + SECONDS
            growth = act(models, lambda: time.monotonic() < ended, workers) if act else _wait(ended, workers)
            load.finish()
            predictions = wait_until(lambda: _answered(bootstrap, topics, len(load.sent)), 120, "all answers")
            memory = _memory(workers) * 4_096 / WORKERS / 1e6
            for worker in workers:
                worker.stop()
            runs = [worker.end() for worker in workers]
        finally:
            load.end()
        cpu, pause = sum(run.cpu for run in runs) / len(load.sent) * 1e6, _longest_pause(predictions)
        print(
            f"{name:12} {len(load.sent):8,} records {cpu:6.2f} µs CPU a record, longest pause "
            f"{pause:5.0f} ms, {memory:.0f} MB each, growth {growth:+.1%}",
            flush=True,
        )
    return {"cpu_us": cpu, "pause_ms": pause, "growth_percent": growth * 100}


def _drain(bootstrap: str, name: str, act: Act | None) -> Values:
    with _models(bootstrap, act is not None) as (topics, models), tempfile.TemporaryDirectory() as folder:
        load = Load(bootstrap, topics.raw, numbered(Random(1)), rate=1e9, least=DRAINED)
        load.start()
        load.finish()
        number = len(load.sent)
        command = cli("consume", "--limit", str(number), "--no-live", "--quiet", "--output", "json")
        worker = Process(command, _env(bootstrap, topics, models if act else None), Path(folder))
        if act is not None:
            act(models, worker.is_alive, [worker])
        run = worker.end()
        cpu = run.cpu / number * 1e6
        print(f"drained, {name:12} {run.rate:9,.0f} records/s, {cpu:6.2f} µs CPU", flush=True)
    return {"rate": run.rate, "cpu_us": cpu}


def _promote(models: PublishedModels, goes_on: Callable[[], bool], workers: list[Process]) -> float:
    """Promote a version each 1.2 s; return the growth of the memory after the first ones, NaN if there were no more."""
    base, growth, number = 0.0, math.nan, 0
    while goes_on() and number < PROMOTIONS:
        started, number = time.monotonic(), number + 1
        models.promote(f"v{number}")
        while goes_on() and time.monotonic() < started + INTERVAL:
            time.sleep(0.02)
        if number == SETTLED:
            base = _memory(workers)
    with suppress(OSError, ZeroDivisionError):
        growth = _memory(workers) / base - 1
    return growth


def _shadow(models: PublishedModels, goes_on: Callable[[], bool], _workers: list[Process]) -> float:
    models.promote("v1", "shadow")
    while goes_on():
        time.sleep(0.02)
    return 0.0


def _wait(ended: float, workers: list[Process]) -> float:
    """Wait; return the growth of the memory in the time in which promotions are measured."""
    time.sleep(SETTLED * INTERVAL)
    base = _memory(workers)
    time.sleep(max(0.0, ended - time.monotonic()))
    return _memory(workers) / base - 1


@contextmanager
def _models(bootstrap: str, has_topic: bool) -> Iterator[tuple[Topics, PublishedModels]]:  # noqa: FBT001
    """Create topics; version `v0` serves, and 50 more are published."""
    topics = fresh_topics()
    create_topics(bootstrap, topics)
    models = PublishedModels(bootstrap, topics)
    for number in range(PROMOTIONS + 1 if has_topic else 0):
        models.publish(f"v{number}")
    if has_topic:
        models.promote("v0")
    yield topics, models
    delete_topics(bootstrap, topics)


def _env(bootstrap: str, topics: Topics, models: PublishedModels | None) -> dict[str, str]:
    return topics.env(bootstrap) if models is None else models.env | OPEN_GATE


def _answered(bootstrap: str, topics: Topics, number: int) -> list[tuple[int, int]]:
    """Return partition and time in milliseconds of each prediction, once there are enough."""
    records = read_topic(bootstrap, topics.predictions)
    return [(record.partition, record.timestamp) for record in records] if len(records) >= number else []


def _longest_pause(predictions: list[tuple[int, int]]) -> float:
    times: dict[int, list[int]] = {}
    for partition, at in predictions:
        times.setdefault(partition, []).append(at)
    start = min(map(min, times.values())) + JOINING
    late = (sorted(at for at in values if at > start) for values in times.values())
    return max(after - before for values in late for before, after in pairwise(values))


def _memory(workers: list[Process]) -> float:
    """Return the resident pages of the processes."""
    return sum(int(Path(f"/proc/{worker.process.pid}/statm").read_text().split()[1]) for worker in workers)


if __name__ == "__main__":
    main()
