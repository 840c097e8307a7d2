"""Which charts the page has; each with words for who can't see it, and with its numbers."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from telco_stream.analytics import Segment
from telco_stream.contracts.manifest import Manifest
from telco_stream.display.text import count, percent, visible
from telco_stream.page import charts
from telco_stream.page.words import moment, share_of, time_words, width_words
from telco_stream.report.facts import Facts
from telco_stream.trends import Step, longer

#: Names that a chart shows; strangers may have written more into the topic.
_MOST_BARS = 8
_LONGEST_NAME = 22
#: Below so many predictions the distribution has wide bins.
_MANY = 1_000
_FEWEST_TICKS, _MOST_TICKS = 3, 5
_MINUTE, _DAY = 60, 86_400


@dataclass(frozen=True, slots=True)
class Figure:
    """A chart: `told` says in words what it shows; the numbers are cells of text, the first names its row."""

    key: str
    title: str
    told: str
    picture: charts.Picture
    columns: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]


def figures(facts: Facts, manifest: Manifest) -> dict[str, Figure]:
    """The charts by their keys; there are none of nothing."""
    model = [_calibration(manifest)] if manifest.metrics.calibration else []
    made = [*_charts_of_predictions(facts, manifest), *model] if facts.report.summary.total else model
    return {figure.key: figure for figure in made}


def has_made(facts: Facts, manifest: Manifest) -> bool:
    """Whether this model has made any of the predictions."""
    return manifest.model_version in dict(facts.trends.versions.most_common())


def _charts_of_predictions(facts: Facts, manifest: Manifest) -> Iterator[Figure]:
    summary = facts.report.summary
    yield _by_segment("contract", "Churn rate by contract", "Contract", summary.by_contract)
    yield _by_segment("internet", "Churn rate by internet service", "Internet service", summary.by_internet_service)
    yield _distribution(facts, manifest.threshold if has_made(facts, manifest) else None)
    yield from _over_time(facts.trends.timeline.steps(), facts.trends.timeline.width)


def _by_segment(key: str, title: str, column: str, segments: Mapping[str, Segment]) -> Figure:
    largest = sorted(segments, key=lambda name: -segments[name].total)[:_MOST_BARS]
    shown = {visible(name): segments[name] for name in segments if name in largest}
    told = ", ".join(f"{name} {percent(one.churn_rate)}" for name, one in shown.items())
    if len(segments) > len(shown):
        told += f"; the {_MOST_BARS} largest of {count(len(segments))}"
    bars = {_short(name): one.churn_rate for name, one in shown.items()}
    rows = [(name, count(one.total), count(one.churners), percent(one.churn_rate)) for name, one in shown.items()]
    columns = (column, "Predictions", "Churners", "Churn rate")
    return Figure(key, title, f"Bars: {told}.", charts.rate_bars(bars), columns, rows)


def _distribution(facts: Facts, threshold: float | None) -> Figure:
    number = 50 if facts.report.summary.total >= _MANY else 20
    bins = facts.trends.distribution.bins(number)
    stay, churn = [one.total - one.churners for one in bins], [one.churners for one in bins]
    fullest = max(range(number), key=lambda place: bins[place].total)
    told = f"Columns from 0 to 1: most predictions, {count(bins[fullest].total)}, lie {_bin(fullest, number)}"
    told += "." if threshold is None else f"; at {threshold:g} and above the model says churn."
    rows = [
        (_bin(place, number), count(stay[place]), count(churn[place])) for place in range(number) if bins[place].total
    ]
    picture = charts.distribution(stay, churn, threshold)
    return Figure("distribution", "Predictions by probability", told, picture, ("Probability", "Stays", "Churns"), rows)


def _over_time(steps: Sequence[Step], width: int) -> Iterator[Figure]:
    ticks, columns = _ticks(steps, width), ("From (UTC)", "Predictions", "Churners", "Churn rate")
    rows = [
        (time_words(moment(one.start)), count(one.total), count(one.churners), share_of(one.churners, one.total))
        for one in steps
    ]
    span = f"from {rows[0][0]} to {time_words(moment(steps[-1].start + width))} UTC, a step is {width_words(width)}"
    most = max(steps, key=lambda one: one.total)
    told = f"Columns {span}; most, {count(most.total)}, from {time_words(moment(most.start))}."
    picture = charts.counts_over_time([one.total for one in steps], ticks)
    yield Figure("counts", "Predictions over time", told, picture, columns, rows)
    rates = [one.churners / one.total if one.total else None for one in steps]
    known = [rate for rate in rates if rate is not None]
    told = f"A line {span}; between {percent(min(known))} and {percent(max(known))}."
    yield Figure("rates", "Churn rate over time", told, charts.rates_over_time(rates, ticks), columns, rows)


def _calibration(manifest: Manifest) -> Figure:
    deciles = manifest.metrics.calibration
    predicted, observed = [one.mean_probability for one in deciles], [one.churn_rate for one in deciles]
    gap = max(abs(one - other) for one, other in zip(predicted, observed, strict=True))
    told = f"Points for tenths of the training customers, by predicted probability: none is farther than {percent(gap)}"
    rows = [(percent(one.mean_probability), percent(one.churn_rate), count(one.predictions)) for one in deciles]
    columns = ("Mean predicted", "Churned", "Predictions")
    title, picture = "What was predicted, and what came", charts.calibration(predicted, observed)
    return Figure("calibration", title, f"{told} from what came.", picture, columns, rows)


def _bin(place: int, number: int) -> str:
    return f"{place / number:.2f} to {(place + 1) / number:.2f}"


def _ticks(steps: Sequence[Step], width: int) -> dict[int, str]:
    """Labels for a few steps, by their places, at times as round as there are."""
    apart, wider = width, width
    while sum(one.start % wider == 0 for one in steps) >= _FEWEST_TICKS:
        apart, wider = wider, longer(wider)
    places = [place for place, one in enumerate(steps) if one.start % apart == 0]
    return {place: _tick(moment(steps[place].start), apart) for place in places[:: -(-len(places) // _MOST_TICKS)]}


def _tick(time: datetime, apart: int) -> str:
    """What tells times so many seconds apart from each other, and the day."""
    if apart >= _DAY:
        return f"{time.day} {time:%b}\n{time.year}"
    clock = f"{time:%H:%M}" if apart >= _MINUTE else f"{time:%H:%M:%S}"
    return f"{clock}\n{time.day} {time:%b}"


def _short(name: str) -> str:
    return name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 1]}…"
