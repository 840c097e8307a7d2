"""CPU time that the picture of a run costs, without a broker: `python -m benchmarks.drawing`.

A picture as in a flood, drawn to a terminal that nobody reads; and what the loop is asked for with each batch.
"""

import io
import time
from collections.abc import Callable
from itertools import count

from rich.console import Console

from telco_stream.analytics import AtRisk
from telco_stream.batch import Outcome
from telco_stream.consume import Seconds
from telco_stream.contracts.prediction import Prediction
from telco_stream.display.consuming import ConsumePicture, Running
from telco_stream.display.talk import _Drawing
from telco_stream.observing.sight import Glimpse, Sight

ROUNDS = 500
SIZE = 5_000
TIME = "2026-01-01T00:00:00Z"


class Flood:
    """A consumer at full speed, with customers at risk in every glimpse."""

    def __init__(self) -> None:
        self._records = count(20_000, 20_000)

    def glimpse(self) -> Glimpse:
        risky = tuple(AtRisk(f"7590-{number:05}", 0.871, "Month-to-month", "Fiber optic") for number in range(10))
        return Glimpse(
            consumed=next(self._records),
            dead_lettered=331,
            reading=True,
            joined=True,
            lag={0: 4_001, 1: 4_003, 2: 4_000},
            sampled=100,
            sampled_yes=37,
            at_risk=risky,
        )


def main() -> None:
    """Print it."""
    for columns in (80, 140):
        print(f"a picture of {columns} columns: {_spent(_drawn(columns)) * 1e3:.2f} ms")
    answer = Prediction("7590-VHVEG", 0.87, "Yes", TIME, TIME, "v1", "Month-to-month", "Fiber optic")
    outcome, sight = Outcome([], [], [answer] * SIZE, [], {}, 0, 0), Sight(lambda: None)
    print(f"a batch of {SIZE:,}: {_spent(lambda: sight.delivered(outcome, Seconds(0.0, 0.0))) * 1e6:.1f} µs")


def _drawn(columns: int) -> Callable[[], object]:
    seconds = count(0, 0.25)
    console = Console(file=io.StringIO(), force_terminal=True, color_system="truecolor", width=columns, height=24)
    picture = ConsumePicture(Running("consume", lambda: False), Flood(), lambda: next(seconds))
    drawing = _Drawing(console, picture)
    return lambda: drawing._draw(drawing._lines(columns, 24))


def _spent(call: Callable[[], object]) -> float:
    """Seconds of this thread's CPU time, a call."""
    started = time.thread_time()
    for _ in range(ROUNDS):
        call()
    return (time.thread_time() - started) / ROUNDS


if __name__ == "__main__":
    main()
