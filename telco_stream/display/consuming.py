"""What `consume` looks like while it works, as lines for a terminal of any size."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from rich.text import Text

from telco_stream.analytics import AtRisk
from telco_stream.display.lines import bar, beside, clock, field, page, rate_text, row, rule, sparks, way
from telco_stream.display.pace import Pace
from telco_stream.display.text import count, percent
from telco_stream.observing.sight import Glimpse

#: Customers listed, and seconds for which a list stays, so that it can be read in a flood.
_LISTED = 6
_LIST_EVERY = 1.0
#: Columns from which on the customers stand beside the numbers, and where.
_WIDE, _RIGHT = 116, 62
_RISK_WIDTHS = (20, 16, 14, 12)
_TRACK = 30
#: The smallest share that has a number.
_LEAST = 0.001


class Asked(Protocol):
    """Who can say what the consumers look like."""

    def glimpse(self) -> Glimpse:
        """How it looks now."""


@dataclass(frozen=True, slots=True)
class Running:
    """What is known of a run beforehand; `stopping` says whether it has been asked to stop."""

    title: str
    stopping: Callable[[], bool]
    #: Whether it ends with the topic, and after how many records.
    to_the_end: bool = False
    most: int | None = None


class ConsumePicture:
    """Looks at the consumers each time that it is drawn."""

    def __init__(self, run: Running, asked: Asked, now: Callable[[], float]) -> None:
        self._run = run
        self._asked = asked
        self._now = now
        self._started = now()
        self._pace = Pace(self._started)
        self._sampled = self._yes = 0
        self._newest: tuple[AtRisk, ...] = ()
        self._listed: tuple[AtRisk, ...] = ()
        self._listed_at = 0.0

    def __call__(self, columns: int, rows: int) -> Text:
        """The picture as it is now."""
        seen = self._look()
        head = rule(columns, self._run.title, self._state(seen))
        foot = rule(columns, "", Text("Ctrl-C finishes the batch in hand and stops"))
        numbers = self._numbers(seen, min(columns, _RIGHT - 2) if columns >= _WIDE else columns)
        if columns >= _WIDE:
            body = beside(numbers, at_risk(self._listed, _LISTED), _RIGHT)
        else:
            body = [*numbers, Text(), *at_risk(self._listed, min(_LISTED, rows - len(numbers) - 4))]
        return page([head, *body[: max(1, rows - 2)], foot], columns)

    def _look(self) -> Glimpse:
        seen, now = self._asked.glimpse(), self._now()
        self._pace.look(now, seen.consumed)
        self._sampled += seen.sampled
        self._yes += seen.sampled_yes
        self._newest = (seen.at_risk + self._newest)[:_LISTED]
        if now - self._listed_at >= _LIST_EVERY or not self._listed:
            self._listed, self._listed_at = self._newest, now
        return seen

    def _state(self, seen: Glimpse) -> Text:
        words, style = state(seen, stopping=self._run.stopping())
        return Text(words, style).append(f" ── {clock(self._now() - self._started)}", "default not bold")

    def _numbers(self, seen: Glimpse, columns: int) -> list[Text]:
        predicted = seen.consumed - seen.dead_lettered
        yes = f"about {self._yes / self._sampled:.0%} of them at risk" if self._sampled else ""
        bad = _share(seen.dead_lettered, seen.consumed) if seen.dead_lettered else ""
        rate, known = self._pace.rate(), [one for one in seen.lag.values() if one is not None]
        lag = sum(known)
        return [
            field("Answered", count(seen.consumed), rate_text(rate).ljust(9), (sparks(self._pace.bars, 30), "cyan")),
            field("Predictions", count(predicted), yes),
            field("Dead letters", count(seen.dead_lettered), bad, style="bold red" if bad else "bold"),
            field("Lag", _lag_text(seen.lag), partitions(seen.lag, columns - 31)),
            *self._way(seen.consumed, lag if known else None, rate),
        ]

    def _way(self, consumed: int, lag: int | None, rate: float) -> list[Text]:
        """How far a run with an end has come, and how long it still takes at this rate."""
        left = self._run.most - consumed if self._run.most else lag if self._run.to_the_end else None
        if left is None:
            return []
        share = consumed / (consumed + left) if consumed + left else 0.0
        return [way(share, _TRACK, f"{clock(left / rate)} left" if rate and left else "")]


def state(seen: Glimpse, *, stopping: bool) -> tuple[str, str]:
    """What it does, in a few words, and their style."""
    if seen.away is not None:
        words = f"waiting for Kafka, away for {seen.away:.0f} s", "not dim bold yellow"
    elif stopping:
        words = "stopping", "not dim bold yellow"
    elif not seen.reading:
        words = "connecting", "not dim yellow"
    elif not seen.joined:
        words = "joining the group", "not dim yellow"
    elif not seen.lag:
        words = "no partition: other members have them all", "not dim yellow"
    else:
        words = (
            ("reading", "not dim green")
            if any(one != 0 for one in seen.lag.values())
            else ("up to date", "not dim green")
        )
    return words


def partitions(lag: Mapping[int, int | None], columns: int) -> str:
    """The lag of each partition; where not all fit, of those that have the most."""
    parts = {one: f"{one}: {'-' if behind is None else count(behind)}" for one, behind in lag.items()}
    chosen = sorted(parts, key=lambda one: -(lag[one] or 0))
    while chosen:
        told = [parts[one] for one in sorted(chosen)]
        rest = len(parts) - len(chosen)
        line = "  ".join([*told, f"and {rest} more"] if rest else told)
        if len(line) <= columns:
            return line
        chosen.pop()
    return ""


def _share(part: int, whole: int) -> str:
    return percent(part / whole) if part / whole >= _LEAST else f"under {percent(_LEAST)}"


def _lag_text(lag: Mapping[int, int | None]) -> str:
    """The sum; with a plus where that of a partition is not known yet."""
    known = [behind for behind in lag.values() if behind is not None]
    return f"{count(sum(known))}{'+' * (len(known) < len(lag))}" if known else "-"


def at_risk(customers: Sequence[AtRisk], most: int) -> list[Text]:
    """The customers, with a heading; empty lines where there are not so many yet, so that nothing jumps."""
    titles = ("Newest at risk", "Churn", "Contract", "Internet")
    lines = [row([(one, "bold") for one in titles], _RISK_WIDTHS)]
    for one in customers[: max(0, most)]:
        risk = f"{percent(one.churn_probability):>6} {bar(one.churn_probability, 9)}"
        cells = [(one.customerID, ""), (risk, "red"), (one.Contract, ""), (one.InternetService, "")]
        lines.append(row(cells, _RISK_WIDTHS))
    return lines + [Text()] * (max(0, most) - len(lines) + 1)
