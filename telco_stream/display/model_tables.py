"""Tables of a model's features and of its calibration."""

from collections.abc import Sequence

from rich.table import Table

from telco_stream.display.tables import list_table, new_table
from telco_stream.display.text import safe_text
from telco_stream.model.manifest import Decile, Feature
from telco_stream.runtime.humanize import format_count, format_percent


@list_table(Feature)
def feature_table(features: Sequence[Feature]) -> Table:
    """Draw a row for each feature with its allowed values."""
    table = new_table()
    table.add_column("Feature", no_wrap=True)
    table.add_column("Values", overflow="fold")
    for feature in features:
        values = ", ".join(feature.categories) or f"{feature.minimum:,g} to {feature.maximum:,g}"
        table.add_row(safe_text(feature.name), safe_text(values))
    return table


@list_table(Decile)
def calibration_table(deciles: Sequence[Decile]) -> Table:
    """Draw a row for each tenth of the predictions with its predicted and its observed churn rate."""
    table = new_table()
    for title in ("Tenth", "Predictions", "Mean probability", "Churn rate"):
        table.add_column(title, justify="right", no_wrap=True)
    for number, decile in enumerate(deciles, 1):
        predicted, observed = format_percent(decile.mean_probability), format_percent(decile.churn_rate)
        table.add_row(str(number), format_count(decile.predictions), predicted, observed)
    return table
