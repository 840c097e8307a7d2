"""The figures of the page: each is a chart with a caption, a description for screen readers, and its numbers."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from telco_stream.model.manifest import LiftStep, Manifest
from telco_stream.model.quality import QualityResult
from telco_stream.report.customers import CustomerSegment
from telco_stream.report.html import charts
from telco_stream.report.run import ReportData
from telco_stream.report.trends import Step, next_width
from telco_stream.report.wording import Wording, capitalize, column_name, shorten
from telco_stream.runtime.humanize import (
    escape_unprintable,
    format_count,
    format_interval,
    format_percent,
    format_share,
    format_time,
    to_datetime,
)

#: Segments of a column in a chart or a table; a topic can hold any number of them, with names of any length.
_MAX_SEGMENTS = 8
#: Predictions from which on the distribution has narrow bins.
_MANY = 1_000
_MIN_TICKS, _MAX_TICKS = 3, 5
_MINUTE, _DAY = 60, 86_400


@dataclass(frozen=True, slots=True)
class Figure:
    """A chart with its texts: `caption` says what it shows and where the data comes from, `description` what one sees.

    The cells of `rows` are texts, and the first one names its row.
    """

    key: str
    title: str
    caption: str
    description: str
    chart: charts.Chart
    columns: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]


def draw_figures(data: ReportData, manifest: Manifest) -> dict[str, Figure]:
    """Return the figures by their keys; without predictions only those of the model and of the outcomes."""
    words = Wording(data.report.summary.contract)
    of_model = [_calibration(manifest, words)] if manifest.metrics.calibration else []
    of_outcomes = [_outcomes(data.quality, words)] if data.quality else []
    of_predictions = _prediction_figures(data, manifest, words) if data.report.summary.total else ()
    return {figure.key: figure for figure in (*of_predictions, *of_model, *of_outcomes)}


def largest(sizes: Mapping[str, int]) -> list[str]:
    """Return the names of the largest segments in alphabetical order."""
    return sorted(sorted(sizes, key=lambda name: -sizes[name])[:_MAX_SEGMENTS])


def few_note(shapes: str, totals: Iterable[int], counted: str = "predictions") -> str:
    """Return a sentence that explains the marked shapes, if there are any among these totals."""
    return f" {shapes} have fewer than {charts.FEW} {counted}." if any(map(charts.is_few, totals)) else ""


def _prediction_figures(data: ReportData, manifest: Manifest, words: Wording) -> Iterator[Figure]:
    summary, source = data.report.summary, f"Source: {data.predictions_read.topic}."
    for number, (column, segments) in enumerate(summary.segments.items()):
        yield _by_segment(f"segment-{number}", column_name(column), segments, source, words)
    if summary.lift:
        yield _lift(summary.lift, words)
    yield _distribution(data, manifest.threshold if data.report.is_by_model else None, source, words)
    yield from _over_time(data.trends.timeline.steps(), data.trends.timeline.width, source, words)


def _by_segment(key: str, column: str, segments: Mapping[str, CustomerSegment], source: str, words: Wording) -> Figure:
    names = largest({name: segment.customers for name, segment in segments.items()})
    shown = {escape_unprintable(name): segments[name] for name in names}
    shares = ", ".join(f"{name} {format_percent(segment.expected_share)}" for name, segment in shown.items())
    cut = f"; the {_MAX_SEGMENTS} largest of {format_count(len(segments))}" if len(segments) > len(shown) else ""
    note = few_note("Pale bars", [segment.customers for segment in shown.values()], words.entities)
    bars = [(shorten(name), segment.expected_share, segment.customers) for name, segment in shown.items()]
    rows = [
        (
            name,
            format_count(segment.customers),
            format_count(round(segment.expected_leavers)),
            format_percent(segment.expected_share),
            format_count(segment.flagged),
        )
        for name, segment in shown.items()
    ]
    return Figure(
        key,
        f"{words.expected}, by {column}",
        f"Mean probability of the {words.entities}, each by its newest prediction.{note} {source}",
        f"Bars: {shares}{cut}.",
        charts.rate_bars(bars),
        (capitalize(column), capitalize(words.entities), "Expected", "Share", "Flagged"),
        rows,
    )


def _lift(steps: Sequence[LiftStep], words: Wording) -> Figure:
    contacted, reached = [step.share for step in steps], [step.reached for step in steps]
    return Figure(
        "lift",
        "Reach of contacts",
        f"Share of all that {words.verb} among the {words.entities} with the highest probabilities."
        " Source: the metrics in the model's manifest.",
        f"A line: the top {contacted[0]:.0%} of the {words.entities} have {format_percent(reached[0])} of all"
        f" that {words.verb}.",
        charts.lift(contacted, reached),
        ("Contact the top", "Reach"),
        [(f"{step.share:.0%}", format_percent(step.reached)) for step in steps],
    )


def _distribution(data: ReportData, threshold: float | None, source: str, words: Wording) -> Figure:
    number = 50 if data.report.summary.total >= _MANY else 20
    bins = data.trends.distribution.bins(number)
    totals = [part.total for part in bins]
    others, flagged = [part.total - part.churners for part in bins], [part.churners for part in bins]
    most = max(range(number), key=totals.__getitem__)
    limit = "" if threshold is None else f"; from {threshold:g} on the prediction is {words.positive}"
    rows = [
        (_bin_name(index, number), format_count(others[index]), format_count(flagged[index]))
        for index in range(number)
        if totals[index]
    ]
    return Figure(
        "distribution",
        "Predictions by probability",
        f"Number of predictions in {number} ranges of the probability.{few_note('Pale columns', totals)} {source}",
        f"Columns from 0 to 1: most, {format_count(totals[most])}, are from {_bin_name(most, number)}{limit}.",
        charts.distribution(others, flagged, threshold, words.probability),
        ("Probability", "Not flagged", "Flagged"),
        rows,
    )


def _step_row(step: Step) -> tuple[str, str, str, str]:
    start, share = format_time(to_datetime(step.start)), format_share(step.churners, step.total)
    return start, format_count(step.total), format_count(step.churners), share


def _over_time(steps: Sequence[Step], width: int, source: str, words: Wording) -> Iterator[Figure]:
    ticks, columns = _time_ticks(steps, width), ("From (UTC)", "Predictions", "Flagged", "Share")
    totals, churners = [step.total for step in steps], [step.churners for step in steps]
    rows = [_step_row(step) for step in steps]
    span = f"from {rows[0][0]} to {format_time(to_datetime(steps[-1].start + width))} UTC"
    most = max(steps, key=lambda step: step.total)
    yield Figure(
        "counts",
        "Predictions over time",
        f"Number of predictions made in each {_each(width)}.{few_note('Pale columns', totals)} {source}",
        f"Columns {span}; the highest, {format_count(most.total)}, is from {format_time(to_datetime(most.start))}.",
        charts.counts_over_time(totals, ticks),
        columns,
        rows,
    )
    rates = [step.churners / step.total for step in steps if step.total]
    yield Figure(
        "rates",
        f"{capitalize(words.rate)} over time",
        f"Share of the predictions made in each {_each(width)} that are {words.positive}."
        f"{few_note('Pale dots', totals)} {source}",
        f"A line {span}; between {format_percent(min(rates))} and {format_percent(max(rates))}.",
        charts.rates_over_time(churners, totals, ticks),
        columns,
        rows,
    )


def _calibration(manifest: Manifest, words: Wording) -> Figure:
    deciles = manifest.metrics.calibration
    predicted, observed = [part.mean_probability for part in deciles], [part.churn_rate for part in deciles]
    totals = [part.predictions for part in deciles]
    gap = max(abs(mean - rate) for mean, rate in zip(predicted, observed, strict=True))
    rows = [
        (format_percent(part.mean_probability), format_percent(part.churn_rate), format_count(part.predictions))
        for part in deciles
    ]
    return Figure(
        "calibration",
        f"Predicted and observed {words.rate}",
        f"Mean predicted probability and share with {words.condition}, for each tenth of the measured rows by"
        " probability."
        f"{few_note('Pale dots', totals)} Source: the metrics in the model's manifest.",
        f"Dots near the diagonal: predicted and observed {words.rate} differ by at most {format_percent(gap)}.",
        charts.calibration(predicted, observed, totals),
        ("Mean predicted", "Observed", "Predictions"),
        rows,
    )


def _outcomes(quality: QualityResult, words: Wording) -> Figure:
    steps = quality.total.calibration
    predicted, observed = [step.mean_probability for step in steps], [step.observed for step in steps]
    totals = [step.predictions for step in steps]
    gap = max(abs(mean - rate.value) for mean, rate in zip(predicted, observed, strict=True))
    rows = [
        (
            format_percent(step.mean_probability),
            format_percent(step.observed.value),
            f"{format_percent(step.observed.low)} to {format_percent(step.observed.high)}",
            format_count(step.predictions),
        )
        for step in steps
    ]
    return Figure(
        "outcomes",
        "Predicted and actual outcomes",
        f"Mean predicted probability and share with {words.condition}, for each tenth of the predictions with outcome"
        f" by probability.{few_note('Pale dots', totals)} Source: the outcomes.",
        f"Dots near the diagonal: predicted and actual shares differ by at most {format_percent(gap)}.",
        charts.calibration(predicted, [rate.value for rate in observed], totals),
        ("Mean predicted", "Actual", "95 % interval", "Predictions"),
        rows,
    )


def _each(width: int) -> str:
    """Return a step as it follows `each`: `hour`, `15 minutes`."""
    return format_interval(width).removeprefix("1 ")


def _bin_name(index: int, number: int) -> str:
    return f"{index / number:.2f} to {(index + 1) / number:.2f}"


def _time_ticks(steps: Sequence[Step], width: int) -> dict[float, str]:
    """Return labels for a few steps, by the step's number, at times as round as possible."""
    interval, wider = width, width
    while sum(step.start % wider == 0 for step in steps) >= _MIN_TICKS:
        interval, wider = wider, next_width(wider)
    numbers = [number for number, step in enumerate(steps) if step.start % interval == 0]
    every = -(-len(numbers) // _MAX_TICKS)
    return {number: _format_tick(to_datetime(steps[number].start), interval) for number in numbers[::every]}


def _format_tick(time: datetime, interval: int) -> str:
    """Format a time with the precision that the interval between ticks needs, and its day or year below."""
    if interval >= _DAY:
        return f"{time.day} {time:%b}\n{time.year}"
    clock = f"{time:%H:%M}" if interval >= _MINUTE else f"{time:%H:%M:%S}"
    return f"{clock}\n{time.day} {time:%b}"
