"""Table of `drift`: what was compared, and a row for each feature, the largest changes first."""

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.table import Column
from rich.text import Text

from telco_stream.display.layout import NamesTable, name_column, new_table, number_column, stack
from telco_stream.display.text import safe_text
from telco_stream.model.drift.results import DriftResult, ExpectedQuality, FeatureDrift
from telco_stream.model.drift.sentences import CAVEAT, QUALITY_CAVEAT, drift_sentences
from telco_stream.runtime.humanize import format_percent


def drift_tables(result: DriftResult) -> RenderableType:
    """Draw what was compared, the verdict, and the features; explain what drift means."""
    blocks: list[RenderableType] = [Group(*(safe_text(f" {line}") for line in drift_sentences(result)))]
    if result.features:
        blocks.append(_feature_table(result.features))
    if result.quality is not None:
        blocks.append(_quality_table(result.quality, result.quality_in_training))
        blocks.append(Text(f" {QUALITY_CAVEAT}", "dim"))
    return stack(*blocks, Text(f" {CAVEAT}", "dim"))


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


def _feature_table(features: Sequence[FeatureDrift]) -> RenderableType:
    """Draw a row for each feature; the range of a number that has changed is below the change if there is no room."""
    columns = map(number_column, ("Before", "Now", "PSI", "Limit"))
    table = new_table(name_column("Feature"), Column("Change", overflow="fold"), *columns)
    for feature in features:
        names = map(safe_text, (feature.feature, feature.change_and_range or "-"))
        shares = map(format_percent, (feature.share_before, feature.share_now))
        table.add_row(*names, *shares, f"{feature.psi:.4f}", f"{feature.limit:.4f}")
    return table
