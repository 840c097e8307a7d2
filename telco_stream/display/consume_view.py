"""The live view of `consume`: counts, rate, lag by partition and the newest flagged customers."""

import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from telco_stream.contract.document import builtin_contract
from telco_stream.contract.schema import Contract
from telco_stream.display import widgets
from telco_stream.display.reason_tables import reason_column
from telco_stream.display.widgets import number_field
from telco_stream.messages.prediction import APPROXIMATE_MARK
from telco_stream.monitoring.snapshot import ConsumerSnapshot
from telco_stream.report.customers import AtRisk
from telco_stream.report.wording import Wording, capitalize
from telco_stream.runtime.clock import RateMeter
from telco_stream.runtime.humanize import format_count, format_elapsed, format_percent, format_rate, format_share

#: Seconds over which the rate is taken, and seconds per column of its sparkline.
_RATE_WINDOW = 4.0
_RATE_EVERY = 1.0
_RATES = 30
#: Customers listed, and seconds for which a list stays so that it can be read.
_CUSTOMERS = 6
_CUSTOMERS_EVERY = 1.0
#: Widths of the customers' keys, probabilities, and first two segments.
_CUSTOMER_WIDTHS, _MAX_SEGMENTS = (20, 16, 14, 12), 2
#: Columns from which on the customers are beside the numbers, also with reasons, and the column where they begin.
_WIDE, _WIDE_WITH_REASONS, _RIGHT = 116, 140, 62
#: Width of a probability without a bar, and the least one of a sentence.
_NUMBER_WIDTH, _MIN_SENTENCE = 6, 12
_PROGRESS_WIDTH = 30
#: The smallest share that is shown as a number.
_SMALLEST_SHARE = 0.001


@dataclass(frozen=True, slots=True)
class ConsumeRun:
    """Properties of a run; `is_stopping` returns whether a stop has been requested."""

    title: str
    is_stopping: Callable[[], bool]
    #: Whether the run ends with the topic, and after how many records.
    ends_with_topic: bool = False
    max_messages: int | None = None
    contract: Contract = field(default_factory=builtin_contract)
    #: Whether the predictions have reasons.
    has_reasons: bool = False


class ConsumeView:
    """A view of the consumers that takes a snapshot of them each time that it is drawn."""

    def __init__(
        self, run: ConsumeRun, snapshot: Callable[[], ConsumerSnapshot], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._run = run
        self._snapshot = snapshot
        self._clock = clock
        self._started = self._rates_at = clock()
        self._meter = RateMeter(self._started, _RATE_WINDOW)
        self._rates: deque[float] = deque(maxlen=_RATES)
        self._newest: tuple[AtRisk, ...] = ()
        self._listed: tuple[AtRisk, ...] = ()
        self._listed_at = 0.0

    def __rich_console__(self, _console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw the view in the size of the terminal."""
        yield self.render(options.max_width, options.size.height)

    def render(self, columns: int, rows: int) -> Text:
        """Draw the current state in at most this many columns and rows."""
        now, snapshot = self._clock(), self._snapshot()
        self._update(now, snapshot)
        is_wide = columns >= (_WIDE_WITH_REASONS if self._run.has_reasons else _WIDE)
        numbers = self._numbers(snapshot, self._meter.rate(now), _RIGHT - 2 if is_wide else columns)
        customers = self._customers(columns - _RIGHT if is_wide else columns)
        body = widgets.join_columns(numbers, customers, _RIGHT) if is_wide else [*numbers, Text(), *customers]
        text, style = describe_state(snapshot, is_stopping=self._run.is_stopping())
        state = Text(text, style).append(f" ── {format_elapsed(now - self._started)}", "default not bold")
        head = widgets.rule(columns, self._run.title, state)
        foot = widgets.rule(columns, "", Text("Ctrl-C finishes the current batch and stops"))
        return widgets.join_lines([head, *body[: max(1, rows - 2)], foot], columns)

    def _update(self, now: float, snapshot: ConsumerSnapshot) -> None:
        self._meter.update(now, snapshot.consumed)
        if snapshot.consumed and now - self._rates_at >= _RATE_EVERY:
            self._rates.append(self._meter.rate(now))
            self._rates_at = now
        self._newest = (snapshot.at_risk + self._newest)[:_CUSTOMERS]
        if now - self._listed_at >= _CUSTOMERS_EVERY or not self._listed:
            self._listed, self._listed_at = self._newest, now

    def _numbers(self, snapshot: ConsumerSnapshot, rate: float, columns: int) -> list[Text]:
        dead = snapshot.dead_lettered
        predicted = snapshot.consumed - dead
        # The lines about the windows of a batch have the exact share of each window.
        flagged = (
            f"{format_share(snapshot.flagged, predicted)} flagged"
            if predicted and not self._run.ends_with_topic
            else ""
        )
        share = _format_small_share(dead, snapshot.consumed) if dead else ""
        history = Text(widgets.sparkline(self._rates, _RATES), "cyan")
        return [
            number_field("Answered", format_count(snapshot.consumed), Text(format_rate(rate).ljust(9)), history),
            number_field("Predictions", format_count(predicted), Text(flagged)),
            number_field("Dead letters", format_count(dead), Text(share), style="bold red" if dead else "bold"),
            number_field("Lag", _format_total_lag(snapshot.lag), Text(format_lag(snapshot.lag, columns - 31))),
            *self._progress(snapshot, rate),
            *_model_lines(snapshot.versions),
        ]

    def _customers(self, columns: int) -> list[Text]:
        """Draw a heading and always the same number of lines, so that the view keeps its height."""
        draw = partial(reason_lines, columns=columns) if self._run.has_reasons else customer_lines
        lines = draw(self._listed, self._run.contract)
        return lines + [Text()] * (_CUSTOMERS + 1 - len(lines))

    def _progress(self, snapshot: ConsumerSnapshot, rate: float) -> list[Text]:
        """Draw the progress and the time left of a run that has an end."""
        remaining = self._remaining(snapshot)
        if remaining is None:
            return []
        total = snapshot.consumed + remaining
        share = snapshot.consumed / total if total else 0.0
        left = f"{format_elapsed(remaining / rate)} left" if remaining and rate else ""
        bar = widgets.progress_bar(share, _PROGRESS_WIDTH)
        return [number_field("Done", format_percent(share), bar, Text(left, "dim"))]

    def _remaining(self, snapshot: ConsumerSnapshot) -> int | None:
        if self._run.max_messages:
            return self._run.max_messages - snapshot.consumed
        known = _known_lag(snapshot.lag)
        return sum(known) if self._run.ends_with_topic and known else None


def describe_state(snapshot: ConsumerSnapshot, *, is_stopping: bool) -> tuple[str, str]:
    """Return what the consumers are doing, and the style to show it in."""
    if snapshot.unavailable_for is not None:
        return f"waiting for Kafka for {snapshot.unavailable_for:.0f} s", "not dim bold yellow"
    if is_stopping:
        return "stopping", "not dim bold yellow"
    if not snapshot.reading:
        return "connecting", "not dim yellow"
    if not snapshot.joined:
        return "joining the group", "not dim yellow"
    if not snapshot.lag:
        return "no partition assigned: other members have all of them", "not dim yellow"
    is_behind = any(lag != 0 for lag in snapshot.lag.values())
    return "reading" if is_behind else "up to date", "not dim green"


def format_lag(lag: Mapping[int, int | None], columns: int) -> str:
    """Format the lag of each partition; if not all fit, of those with the highest lag."""
    texts = {partition: f"{partition}: {'-' if n is None else format_count(n)}" for partition, n in lag.items()}
    shown = sorted(texts, key=lambda partition: -(lag[partition] or 0))
    while shown:
        hidden = len(texts) - len(shown)
        line = "  ".join([*(texts[partition] for partition in sorted(shown)), *[f"and {hidden} more"] * (hidden > 0)])
        if len(line) <= columns:
            return line
        shown.pop()
    return ""


def customer_lines(customers: Sequence[AtRisk], contract: Contract) -> list[Text]:
    """Draw a heading, and a line with the first segments of each flagged customer."""
    segments = contract.segments[:_MAX_SEGMENTS]
    titles = ["Newest flagged", capitalize(Wording(contract).outcome), *segments]
    widths = _CUSTOMER_WIDTHS[: len(titles)]
    lines = [widgets.table_row([(title, "bold") for title in titles], widths)]
    for customer in customers:
        risk = f"{format_percent(customer.probability):>6} {widgets.bar(customer.probability, 9)}"
        cells = [(customer.key, ""), (risk, "red"), *((customer.segments[name], "") for name in segments)]
        lines.append(widgets.table_row(cells, widths))
    return lines


def reason_lines(customers: Sequence[AtRisk], contract: Contract, columns: int) -> list[Text]:
    """Draw a heading, and a line for each flagged customer with the sentence about its main reason."""
    title, labels = reason_column([customer.main_reason for customer in customers])
    outcome = capitalize(Wording(contract).outcome)
    key, risk = _CUSTOMER_WIDTHS[0], max(_NUMBER_WIDTH, min(cell_len(outcome), _CUSTOMER_WIDTHS[1]))
    widths = (key, risk, max(_MIN_SENTENCE, columns - key - risk - 2 * 4))
    lines = [widgets.table_row([("Newest flagged", "bold"), (outcome, "bold"), (title, "bold")], widths)]
    for customer, label in zip(customers, labels, strict=True):
        mark = APPROXIMATE_MARK if label.endswith(APPROXIMATE_MARK) else ""
        sentence = widgets.fit_words(customer.meaning or label.removesuffix(mark), widths[2] - len(mark)) + mark
        cells = [(customer.key, ""), (f"{format_percent(customer.probability):>{risk}}", "red"), (sentence, "")]
        lines.append(widgets.table_row(cells, widths))
    return lines


def _model_lines(versions: Mapping[str, str]) -> list[Text]:
    """Draw the versions of the model by role, if the run follows a topic of models."""
    titles = {"serving": "Model", "canary": "Canary", "shadow": "Shadow"}
    return [number_field(title, "", Text(versions[role])) for role, title in titles.items() if role in versions]


def _format_small_share(part: int, whole: int) -> str:
    share = part / whole
    return format_percent(share) if share >= _SMALLEST_SHARE else f"under {format_percent(_SMALLEST_SHARE)}"


def _known_lag(lag: Mapping[int, int | None]) -> list[int]:
    return [behind for behind in lag.values() if behind is not None]


def _format_total_lag(lag: Mapping[int, int | None]) -> str:
    """Format the sum, with a plus if the lag of a partition is unknown."""
    known = _known_lag(lag)
    return f"{format_count(sum(known))}{'+' * (len(known) < len(lag))}" if known else "-"
