"""What `produce` looks like while it works."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property

from rich.text import Text

from telco_stream.display.lines import clock, field, page, rate_text, rule, sparks, way
from telco_stream.display.pace import Pace
from telco_stream.display.text import count
from telco_stream.errors import DataError
from telco_stream.observing.eyes import Sending

_TRACK = 30


@dataclass(frozen=True, slots=True)
class Running:
    """What is known of a run beforehand."""

    title: str
    stopping: Callable[[], bool]
    #: Seconds for which Kafka has been away; None while it is there.
    away: Callable[[], float | None]
    #: Rows a second that were asked for, 0 for as fast as possible.
    target: float = 0.0
    most: int | None = None
    #: Counts the rows of a file that is sent once.
    size: Callable[[], int] | None = None


class ProducePicture:
    """Looks on at the rows, and draws what it saw."""

    def __init__(self, run: Running, now: Callable[[], float]) -> None:
        self._run = run
        self._now = now
        self._started = now()
        self._pace = Pace(self._started)
        self._sent = self._before = 0
        self._outlet: Sending | None = None

    def on(self, outlet: Sending) -> None:
        """What sends them."""
        self._outlet = outlet

    def resumed(self, rows: int) -> None:
        """So many rows of the file have arrived in earlier runs."""
        self._before = rows

    def advance(self, rows: int) -> None:
        """So many more have arrived."""
        self._sent += rows

    def __call__(self, columns: int, rows: int) -> Text:
        """The picture as it is now."""
        now = self._now()
        self._pace.look(now, self._sent)
        words, style = self._state()
        state = Text(words, style).append(f" ── {clock(now - self._started)}", "default not bold")
        foot = rule(columns, "", Text("Ctrl-C confirms what has left and stops"))
        lines = [rule(columns, self._run.title, state), *self._numbers(), foot]
        return page(lines[:rows], columns)

    def _numbers(self) -> list[Text]:
        rate, failed = self._pace.rate(), self._outlet.failed() if self._outlet else 0
        pace = f"{rate_text(rate)} of {rate_text(self._run.target)}" if self._run.target else rate_text(rate)
        bad = "bold red" if failed else "bold"
        return [
            field("Confirmed", count(self._sent), pace.ljust(9), (sparks(self._pace.bars, 30), "cyan")),
            *self._way(rate),
            field("Failed", count(failed), style=bad),
        ]

    def _way(self, rate: float) -> list[Text]:
        """How far a run with an end has come, and how long it still takes at this rate."""
        bounds = [self._size, self._before + self._run.most if self._run.most else None]
        total = min((one for one in bounds if one is not None), default=None)
        if not total:
            return []
        done = min(self._before + self._sent, total)
        left = total - done
        return [way(done / total, _TRACK, f"{clock(left / rate)} left" if rate and left else "")]

    @cached_property
    def _size(self) -> int | None:
        """Rows of the file, if that is what is sent; asked from the thread that draws."""
        with suppress(DataError):  # the run itself will complain
            return self._run.size() if self._run.size else None
        return None

    def _state(self) -> tuple[str, str]:
        away = self._run.away()
        if away is not None:
            return f"waiting for Kafka, away for {away:.0f} s", "not dim bold yellow"
        if self._run.stopping():
            return "stopping", "not dim bold yellow"
        return ("sending", "not dim green") if self._outlet else ("connecting", "not dim yellow")
