"""A model's features and its calibration for people."""

from collections.abc import Sequence

from rich import box
from rich.table import Table

from telco_stream.contracts.manifest import Decile, Feature
from telco_stream.display.tables import lists
from telco_stream.display.text import count, percent, safe


@lists(Feature)
def features_grid(features: Sequence[Feature]) -> Table:
    """A row for each feature: its name, and the values that it may have."""
    grid = Table(box=box.SIMPLE_HEAD, header_style="bold", show_edge=False)
    grid.add_column("Feature", no_wrap=True)
    grid.add_column("Values", overflow="fold")
    for one in features:
        values = ", ".join(one.categories) or f"{one.minimum:,g} to {one.maximum:,g}"
        grid.add_row(safe(one.name), safe(values))
    return grid


@lists(Decile)
def deciles_grid(deciles: Sequence[Decile]) -> Table:
    """A row for each tenth of the predictions: what was predicted, and what came."""
    grid = Table(box=box.SIMPLE_HEAD, header_style="bold", show_edge=False)
    for title in ("Tenth", "Predictions", "Mean probability", "Churn rate"):
        grid.add_column(title, justify="right", no_wrap=True)
    for number, one in enumerate(deciles, 1):
        grid.add_row(str(number), count(one.predictions), percent(one.mean_probability), percent(one.churn_rate))
    return grid
