"""`report --html`: one file with text, figures, style and script, which requests nothing from elsewhere.

A figure is a chart, a description for screen readers, and its numbers as a table.
"""

import base64
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from telco_stream import __version__
from telco_stream.model.manifest import Manifest
from telco_stream.report.analytics import Segment
from telco_stream.report.html import charts
from telco_stream.report.run import ReportData, csv_line
from telco_stream.report.trends import Step, next_width
from telco_stream.runtime.humanize import (
    escape_unprintable,
    format_count,
    format_interval,
    format_percent,
    format_share,
    format_time,
    to_datetime,
)
from telco_stream.runtime.period import Period

_SCRIPT = "script.js"
#: Contracts and services in a chart or a table; a topic can hold any number of them, with names of any length.
_MAX_SEGMENTS = 8
#: Characters of a name in a chart.
_MAX_NAME_LENGTH = 30
#: Predictions from which on the distribution has narrow bins.
_MANY = 1_000
_MIN_TICKS, _MAX_TICKS = 3, 5
_MINUTE, _DAY = 60, 86_400


@dataclass(frozen=True, slots=True)
class Figure:
    """A chart with its description; the cells of `rows` are texts, and the first one names its row."""

    key: str
    title: str
    description: str
    chart: charts.Chart
    columns: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]


def render(data: ReportData, manifest: Manifest) -> bytes:
    """Render the page in UTF-8, with everything that comes from Kafka escaped."""
    environment, summary = _environment(), data.report.summary
    script = environment.get_template(_SCRIPT).render()
    contracts, services = (_largest(segments) for segments in (summary.by_contract, summary.by_internet_service))
    page = environment.get_template("page.html").render(
        data=data,
        summary=summary,
        manifest=manifest,
        period=_describe_period(data.criteria.period),
        versions=data.trends.versions.most_common(),
        is_by_model=_is_by_model(data, manifest),
        step=format_interval(data.trends.timeline.width),
        figures=_figures(data, manifest),
        contracts=contracts,
        services=services,
        hidden_segments=sum(pair[0] not in contracts or pair[1] not in services for pair in data.report.crosstab),
        version=__version__,
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )
    return page.encode(errors="backslashreplace")


def _describe_period(period: Period) -> str:
    """Return the start of a sentence that says which predictions the page is about."""
    since = f"from {format_time(period.since)}" if period.since else ""
    until = f"before {format_time(period.until)}" if period.until else ""
    bounds = " and ".join(filter(None, [since, until]))
    return f"Predictions made {bounds} UTC" if bounds else "All predictions"


def _largest(segments: Mapping[str, Segment]) -> list[str]:
    """Return the names of the largest segments in their original order."""
    largest = sorted(segments, key=lambda name: -segments[name].total)[:_MAX_SEGMENTS]
    return [name for name in segments if name in largest]


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "template"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "count": format_count,
        "percent": format_percent,
        "printable": escape_unprintable,
        "px": "{:.1f}".format,
    }
    environment.globals |= {"csv_line": csv_line, "format_share": format_share, "chart_width": charts.WIDTH}
    return environment


def _figures(data: ReportData, manifest: Manifest) -> dict[str, Figure]:
    """Return the figures by their keys; without predictions only those of the model."""
    of_model = [_calibration(manifest)] if manifest.metrics.calibration else []
    of_predictions = _prediction_figures(data, manifest) if data.report.summary.total else ()
    return {figure.key: figure for figure in (*of_predictions, *of_model)}


def _is_by_model(data: ReportData, manifest: Manifest) -> bool:
    """Return whether the manifest's model made any of the predictions."""
    return manifest.model_version in dict(data.trends.versions.most_common())


def _prediction_figures(data: ReportData, manifest: Manifest) -> Iterator[Figure]:
    summary = data.report.summary
    yield _by_segment("contract", "Churn rate by contract", "Contract", summary.by_contract)
    yield _by_segment("internet", "Churn rate by internet service", "Internet service", summary.by_internet_service)
    yield _distribution(data, manifest.threshold if _is_by_model(data, manifest) else None)
    yield from _over_time(data.trends.timeline.steps(), data.trends.timeline.width)


def _by_segment(key: str, title: str, column: str, segments: Mapping[str, Segment]) -> Figure:
    shown = {escape_unprintable(name): segments[name] for name in _largest(segments)}
    rates = ", ".join(f"{name} {format_percent(segment.churn_rate)}" for name, segment in shown.items())
    cut = f"; the {_MAX_SEGMENTS} largest of {format_count(len(segments))}" if len(segments) > len(shown) else ""
    rows = [
        (name, format_count(segment.total), format_count(segment.churners), format_percent(segment.churn_rate))
        for name, segment in shown.items()
    ]
    chart = charts.rate_bars([(_shorten(name), segment.churn_rate) for name, segment in shown.items()])
    return Figure(key, title, f"Bars: {rates}{cut}.", chart, (column, "Predictions", "Churners", "Churn rate"), rows)


def _distribution(data: ReportData, threshold: float | None) -> Figure:
    number = 50 if data.report.summary.total >= _MANY else 20
    bins = data.trends.distribution.bins(number)
    stay, churn = [part.total - part.churners for part in bins], [part.churners for part in bins]
    largest = max(range(number), key=lambda index: bins[index].total)
    most = f"most predictions, {format_count(bins[largest].total)}, are from {_bin_name(largest, number)}"
    limit = "" if threshold is None else f"; from {threshold:g} on the model predicts churn"
    rows = [
        (_bin_name(index, number), format_count(stay[index]), format_count(churn[index]))
        for index in range(number)
        if bins[index].total
    ]
    chart, columns = charts.distribution(stay, churn, threshold), ("Probability", "Stays", "Churns")
    description = f"Columns from 0 to 1: {most}{limit}."
    return Figure("distribution", "Predictions by probability", description, chart, columns, rows)


def _over_time(steps: Sequence[Step], width: int) -> Iterator[Figure]:
    ticks, columns = _time_ticks(steps, width), ("From (UTC)", "Predictions", "Churners", "Churn rate")
    rows = [
        (
            format_time(to_datetime(step.start)),
            format_count(step.total),
            format_count(step.churners),
            format_share(step.churners, step.total),
        )
        for step in steps
    ]
    end = format_time(to_datetime(steps[-1].start + width))
    span = f"from {rows[0][0]} to {end} UTC in steps of {format_interval(width)}"
    most = max(steps, key=lambda step: step.total)
    description = (
        f"Columns {span}; the highest, {format_count(most.total)}, is from {format_time(to_datetime(most.start))}."
    )
    chart = charts.counts_over_time([step.total for step in steps], ticks)
    yield Figure("counts", "Predictions over time", description, chart, columns, rows)
    rates = [step.churners / step.total if step.total else None for step in steps]
    known = [rate for rate in rates if rate is not None]
    description = f"A line {span}; between {format_percent(min(known))} and {format_percent(max(known))}."
    yield Figure("rates", "Churn rate over time", description, charts.rates_over_time(rates, ticks), columns, rows)


def _calibration(manifest: Manifest) -> Figure:
    deciles = manifest.metrics.calibration
    predicted, observed = [part.mean_probability for part in deciles], [part.churn_rate for part in deciles]
    gap = max(abs(mean - rate) for mean, rate in zip(predicted, observed, strict=True))
    rows = [
        (format_percent(part.mean_probability), format_percent(part.churn_rate), format_count(part.predictions))
        for part in deciles
    ]
    description = (
        "Dots for tenths of the training customers, by predicted probability: "
        f"predicted and observed churn rate differ by at most {format_percent(gap)}."
    )
    chart, columns = charts.calibration(predicted, observed), ("Mean predicted", "Churned", "Predictions")
    return Figure("calibration", "Predicted and observed churn", description, chart, columns, rows)


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


def _shorten(name: str) -> str:
    return name if len(name) <= _MAX_NAME_LENGTH else f"{name[: _MAX_NAME_LENGTH - 1]}…"
