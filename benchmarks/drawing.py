"""CPU time of the live view, without a broker: `python -m benchmarks.drawing`.

Measures a frame of a busy view on a terminal that discards it, a frame above which hundreds of lines are printed, and
what a batch costs the loop.
"""

import io
import time
from collections.abc import Callable
from itertools import count

from rich.console import Console
from rich.text import Text

from telco_stream.display.consume_view import ConsumeRun, ConsumeView
from telco_stream.display.live_console import BatchingLive
from telco_stream.monitoring.protocols import BatchTimings
from telco_stream.monitoring.snapshot import ConsumerSnapshot, ConsumerStats
from telco_stream.report.customers import AtRisk
from telco_stream.scoring import Outcome
from tests.support.telco import CODEC, prediction_of

ROUNDS = 500
SIZE = 5_000
#: Lines printed between two frames: 800 a second.
LINES = 200
TIME = "2026-01-01T00:00:00Z"


def main() -> None:
    """Print the figures."""
    for columns in (80, 140):
        print(f"a frame of {columns} columns: {_cpu_time(_draw(columns)) * 1e3:.2f} ms")
        print(f"a frame of {columns} columns and {LINES} lines: {_cpu_time(_draw(columns, LINES)) * 1e3:.2f} ms")
    answer = prediction_of("7590-VHVEG", 0.87, "Yes", TIME, TIME, "v1", "Month-to-month", "Fiber optic")
    outcome, stats = Outcome([], [], [answer] * SIZE, [], {}, "Yes", 0, 0), ConsumerStats(CODEC, lambda: None)
    print(f"a batch of {SIZE:,}: {_cpu_time(lambda: stats.on_committed(outcome, BatchTimings(0.0, 0.0))) * 1e6:.1f} µs")


def _draw(columns: int, lines: int = 0) -> Callable[[], object]:
    """Return a function that draws a frame."""
    seconds, records = count(0, 0.25), count(20_000, 20_000)
    console = Console(file=io.StringIO(), force_terminal=True, color_system="truecolor", width=columns, height=24)
    view = ConsumeView(ConsumeRun("consume", lambda: False), lambda: _snapshot(next(records)), lambda: next(seconds))
    live = BatchingLive(view, console)
    live.auto_refresh = False
    live.start()

    def draw() -> None:
        live.lines.extend([Text("2026-11-01T08:00:00.000Z WARNING dead letter topic=raw partition=1")] * lines)
        live.refresh()

    return draw


SEGMENTS = {"Contract": "Month-to-month", "InternetService": "Fiber optic"}


def _snapshot(consumed: int) -> ConsumerSnapshot:
    return ConsumerSnapshot(
        consumed=consumed,
        dead_lettered=331,
        reading=True,
        joined=True,
        lag={0: 4_001, 1: 4_003, 2: 4_000},
        flagged=1_000,
        at_risk=tuple(AtRisk(f"7590-{number:05}", 0.871, SEGMENTS) for number in range(10)),
    )


def _cpu_time(call: Callable[[], object]) -> float:
    """Return the CPU seconds of this thread per call."""
    started = time.thread_time()
    for _ in range(ROUNDS):
        call()
    return (time.thread_time() - started) / ROUNDS


if __name__ == "__main__":
    main()
