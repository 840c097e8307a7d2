"""Table of `drift`: what was compared, and a row for each feature, the largest changes first."""

from collections import defaultdict

from rich.console import Group, RenderableType
from rich.text import Text

from telco_stream.display.layout import NamesTable, stack
from telco_stream.display.text import format_timestamp, safe_text
from telco_stream.model.drift.results import MIN_RECORDS, DriftResult, ExpectedQuality, FeatureDrift
from telco_stream.runtime.humanize import count_of, format_percent

_TITLES = ("Feature", "Change", "Before", "Now", "PSI", "Limit")
_NUMBERS = range(2, 6)
_CAVEAT = (
    "Drift is a change, not damage: the model may be as good as before. `telco-stream quality` measures that, once"
    " outcomes are known."
)
_QUALITY_CAVEAT = (
    "Expected from the probabilities alone: it follows a change of the records, but not of what comes of them."
)


def drift_tables(result: DriftResult) -> RenderableType:
    """Draw what was compared, the verdict, and the features; explain what drift means."""
    lines = [*_compared(result), *_verdict(result)]
    blocks: list[RenderableType] = [Group(*(safe_text(f" {line}") for line in lines))]
    if result.features:
        blocks.append(NamesTable(_TITLES, map(_row, result.features), _NUMBERS))
    if result.quality is not None:
        blocks.append(_quality_table(result.quality, result.quality_in_training))
        blocks.append(Text(f" {_QUALITY_CAVEAT}", "dim"))
    return stack(*blocks, Text(f" {_CAVEAT}", "dim"))


def _quality_table(expected: ExpectedQuality, measured: ExpectedQuality) -> RenderableType:
    """Draw what the probabilities imply beside what was measured in training."""
    rows = [("expected now", expected), ("measured in training", measured)]
    cells = [
        (
            name,
            *("-" if value is None else f"{value:.3f}" for value in (each.auc, each.precision, each.recall)),
            f"{each.brier:.3f}",
        )
        for name, each in rows
    ]
    return NamesTable(("Quality", "AUC", "Precision", "Recall", "Brier"), cells, range(1, 5))


def _compared(result: DriftResult) -> list[str]:
    """Return sentences about the records and the model."""
    since = f" since {format_timestamp(result.first)} UTC" if result.first else ""
    rows = count_of(result.baseline_records, "training row")
    lines = [f"{count_of(result.records, 'record')}{since}, compared with {rows} of model {result.model_version}."]
    if result.rejected:
        lines.append(f"{count_of(result.rejected, 'record')} skipped: not of this contract.")
    return lines


def _verdict(result: DriftResult) -> list[str]:
    """Return sentences about the newest window, and the features that have drifted by time."""
    if not result.windows:
        return [f"Too few records: at least {MIN_RECORDS} are needed to distinguish a change from chance."]
    compared = f"{count_of(result.windows, 'window')} of up to {result.window_records:,} records"
    if result.windows == 1:
        return [f"{compared}: drift needs two windows in a row above the limit. Read a longer period."]
    names = defaultdict(list)
    for feature in result.features:
        if feature.drifted and feature.since:
            names[feature.since].append(feature.feature)
    drifted = [f"Drifted since {format_timestamp(since)} UTC: {', '.join(names[since])}." for since in sorted(names)]
    return [f"{compared}; the table shows the newest.", *(drifted or ["No drift."])]


def _row(feature: FeatureDrift) -> tuple[str, ...]:
    return (
        feature.feature,
        feature.change or "-",
        *map(format_percent, (feature.share_before, feature.share_now)),
        f"{feature.psi:.4f}",
        f"{feature.limit:.4f}",
    )
