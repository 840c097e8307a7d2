"""Drift of a feature, as commands and metrics show it."""

from dataclasses import dataclass

#: Windows of fewer records are not compared.
MIN_RECORDS = 500


@dataclass(frozen=True, slots=True)
class FeatureDrift:
    """Change of a feature, or of `score`, in one window: the newest, or the last one of a drift that has ended.

    `windows` is the number of windows in a row, up to this one, with a PSI above the limit; the first of them began at
    `since`. Without any, `change` to `share_now` are null. `change` is `higher` or `lower` for a number, and otherwise
    names the value that has become more or less frequent; `share_before` and `share_now` are those of `bin`, the values
    that add most to the PSI. `null_share`, and `unknown_share` of values that the contract does not list, are those of
    the window. `until` is the time at which the first window after a drift began, null if the drift goes on.
    """

    feature: str
    psi: float
    limit: float
    change: str | None
    bin: str | None
    share_before: float | None
    share_now: float | None
    null_share: float
    unknown_share: float
    windows: int
    since: str | None
    drifted: bool
    until: str | None = None

    @property
    def change_and_range(self) -> str | None:
        """Change in words; that of a number has the range that has changed most."""
        return f"{self.change} ({self.bin})" if self.change in {"higher", "lower"} else self.change


@dataclass(frozen=True, slots=True)
class ExpectedQuality:
    """Quality of the answers of a model at its threshold; a figure is null if it isn't defined."""

    auc: float | None
    precision: float | None
    recall: float | None
    brier: float


@dataclass(frozen=True, slots=True)
class DriftResult:
    """Comparison of a period's records with the baseline of a model, window by window; the largest changes come first.

    `rejected` records don't follow the contract and are not compared. A feature has drifted if its PSI is above the
    limit in two windows in a row, whether or not these are the newest. `quality` is expected from the probabilities of
    all records, without outcomes; `quality_in_training` was measured. With fewer than 500 records, `features` is empty
    and `quality` null.
    """

    model_version: str
    baseline_records: int
    records: int
    rejected: int
    first: str | None
    windows: int
    window_records: int
    drifted: list[str]
    features: list[FeatureDrift]
    quality: ExpectedQuality | None
    quality_in_training: ExpectedQuality
