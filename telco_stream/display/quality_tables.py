"""Tables of `quality`: what was joined, figures with their intervals, calibration, and model versions by week."""

from collections.abc import Iterator, Sequence

from rich.console import Group, RenderableType
from rich.table import Column
from rich.text import Text

from telco_stream.display.layout import name_column, new_table, number_column, stack
from telco_stream.display.text import safe_text
from telco_stream.model.quality import (
    CalibrationStep,
    Coverage,
    Estimate,
    Measures,
    QualityResult,
    Uplift,
)
from telco_stream.quality.results import describe_unreadable
from telco_stream.runtime.humanize import count_of, format_percent

#: Title as wide as a version that `train` writes, which is never cut.
_GROUP = "Model version, week"
_NOTE = (
    " Each figure has its 95 % interval. Weeks begin on Monday, UTC. Outcomes that arrive later change past weeks."
    " JSON and the page of report have the calibration of each."
)


def quality_tables(result: QualityResult) -> RenderableType:
    """Draw what was joined, the figures in total, calibration, and rows for each model version and its weeks."""
    blocks: list[RenderableType] = [Group(*map(safe_text, _coverage_lines(result.coverage, result.horizon_days)))]
    blocks += [
        _total_table(result.total, result.capacity),
        *([safe_text(f" {result.total.caveat}")] if result.total.caveat else []),
        _titled("Calibration", _calibration_table(result.total.calibration)),
    ]
    blocks.append(_titled("By model version and week", _version_tables(result)))
    blocks.append(Text(_NOTE, "dim"))
    if result.uplift:
        blocks.append(_titled("Uplift of contacts", _uplift_table(result.uplift)))
        blocks.append(Group(*map(safe_text, _uplift_lines(result.uplift))))
    return stack(*blocks)


def _uplift_table(uplift: Uplift) -> RenderableType:
    """Draw a row for the customers to be contacted, and one for the control group."""
    titles = ("Flagged", "Mean probability", "Positive", "95 % interval")
    table = new_table(Column("Group"), *map(number_column, titles))
    for name, group in (("To be contacted", uplift.contacted), ("Control", uplift.control)):
        mean = f"{group.mean_probability:.3f}"
        table.add_row(name, f"{group.predictions:,}", mean, f"{group.rate.value:.3f}", _bounds(group.rate))
    return table


def _uplift_lines(uplift: Uplift) -> list[str]:
    """Return sentences about the effect of contacts, and about the smallest effect that the groups could show."""
    difference = uplift.uplift
    low, high = (f"{100 * bound:+.1f}" for bound in (difference.low, difference.high))
    direction = "fewer" if difference.value >= 0 else "more"
    found = f" {abs(100 * difference.value):.1f} of 100 {direction} than in the control group had a positive outcome"
    if uplift.found:
        return [f"{found} (95 % interval {low} to {high})."]
    return [
        f"{found}, which can be chance: the 95 % interval is {low} to {high}.",
        f" Groups of this size show an uplift from {100 * uplift.detectable:.1f} of 100 on in 80 of 100 cases.",
    ]


def _calibration_table(steps: Sequence[CalibrationStep]) -> RenderableType:
    """Draw a row for each tenth of the predictions."""
    columns = map(number_column, ("Predictions", "Mean probability", "Positive", "95 % interval"))
    table = new_table(*columns)
    for step in steps:
        observed = step.observed
        table.add_row(
            f"{step.predictions:,}", f"{step.mean_probability:.3f}", f"{observed.value:.3f}", _bounds(observed)
        )
    return table


def _coverage_lines(coverage: Coverage, days: float) -> list[str]:
    """Return sentences about the predictions with an outcome, and about unused records."""
    known = f"{coverage.with_outcome:,} of {coverage.predictions:,} predictions have an outcome within {days:g} days"
    lines = [f" {known}; {coverage.pending:,} can still get one."]
    unused = [
        (coverage.unknown_key, "for a key without predictions"),
        (coverage.before_prediction, "older than the predictions"),
        (coverage.after_horizon, "after the horizon"),
        (coverage.replaced, "followed by a newer one"),
    ]
    if parts := [f"{count:,} {what}" for count, what in unused if count]:
        lines.append(f" Not used of {count_of(coverage.outcomes, 'outcome')}: {', '.join(parts)}.")
    if count := coverage.unreadable_predictions:
        lines.append(f" {count_of(count, 'record')} skipped: not predictions of this contract.")
    if skipped := describe_unreadable(coverage):
        lines.append(f" {skipped}.")
    return lines


def _total_table(total: Measures, capacity: float) -> RenderableType:
    share = format_percent(capacity)
    rows = [
        ("AUC", total.auc),
        ("Brier score", total.brier),
        ("Log loss", total.log_loss),
        (f"Precision, {total.flagged:,} flagged", total.precision),
        (f"Recall, {total.flagged:,} flagged", total.recall),
        (f"Precision, {total.contacts_at_capacity:,} highest ({share})", total.precision_at_capacity),
        (f"Recall, {total.contacts_at_capacity:,} highest ({share})", total.recall_at_capacity),
    ]
    table = new_table(Column("Figure"), number_column("Value"), number_column("95 % interval"))
    for name, estimate in rows:
        table.add_row(name, _value(estimate), _bounds(estimate))
    return table


def _version_tables(result: QualityResult) -> RenderableType:
    """Draw two tables, with a row for each model version and below it a row for each of its weeks."""
    at = f"\nat {format_percent(result.capacity)}"
    first, second = (
        new_table(name_column(_GROUP, len(_GROUP)), *map(number_column, titles))
        for titles in (
            ("Known", "AUC", "Brier", "Log loss"),
            ("Precision", "Recall", f"Precision{at}", f"Recall{at}"),
        )
    )
    for name, measures in _by_version(result):
        of_probabilities = (measures.auc, measures.brier, measures.log_loss)
        first.add_row(safe_text(name), f"{measures.predictions:,}", *map(_figure, of_probabilities))
        of_contacts = (measures.precision, measures.recall, measures.precision_at_capacity, measures.recall_at_capacity)
        second.add_row(safe_text(name), *map(_figure, of_contacts))
    return stack(first, second)


def _by_version(result: QualityResult) -> Iterator[tuple[str, Measures]]:
    """Yield the names and measures of each model version and of its weeks."""
    for version in result.by_version:
        yield version.model_version, version.measures
        weeks = (row for row in result.by_week if row.model_version == version.model_version)
        yield from ((f"  {row.week}", row.measures) for row in weeks)


def _figure(estimate: Estimate | None) -> Text:
    """Return the value with its interval on the next line."""
    if estimate is None:
        return Text("-")
    return Text(f"{estimate.value:.3f}\n").append(f"{estimate.low:.3f}\N{EN DASH}{estimate.high:.3f}", "dim")


def _titled(title: str, table: RenderableType) -> RenderableType:
    return Group(Text(f" {title}", "bold"), Text(), table)


def _value(estimate: Estimate | None) -> str:
    return "-" if estimate is None else f"{estimate.value:.3f}"


def _bounds(estimate: Estimate | None) -> str:
    return "-" if estimate is None else f"{estimate.low:.3f} to {estimate.high:.3f}"
