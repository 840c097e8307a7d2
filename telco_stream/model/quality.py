"""Quality of predictions whose outcome is known: the result of `quality`, which the page of `report` shows too."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure with the bounds of its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class CalibrationStep:
    """Tenth of the predictions, ordered by probability: the mean probability, and the share of positive outcomes."""

    predictions: int
    mean_probability: float
    observed: Estimate


@dataclass(frozen=True, slots=True)
class Measures:
    """Quality of some predictions. A figure is null if it isn't defined, as AUC without both outcomes.

    `precision` and `recall` are at the model's threshold, those with `_at_capacity` for the share of the predictions
    with the highest probabilities that `--capacity` gives. `calibration` has a step for each tenth of the predictions,
    fewer if there are fewer than ten.
    """

    predictions: int
    positive: int
    flagged: int
    auc: Estimate | None
    brier: Estimate | None
    log_loss: Estimate | None
    precision: Estimate | None
    recall: Estimate | None
    contacts_at_capacity: int
    precision_at_capacity: Estimate | None
    recall_at_capacity: Estimate | None
    calibration: list[CalibrationStep]

    @property
    def caveat(self) -> str:
        """Sentence that says that all outcomes are the same, or nothing."""
        if 0 < self.positive < self.predictions:
            return ""
        sign = "positive" if self.positive else "negative"
        return f"All known outcomes are {sign}: without the others, these figures say nothing."


@dataclass(frozen=True, slots=True)
class VersionQuality:
    """Quality of the predictions of a model version, in the week that begins at `week`, or in all weeks if null."""

    model_version: str
    week: str | None
    measures: Measures


@dataclass(frozen=True, slots=True)
class Coverage:
    """Coverage of a join: counts of predictions, and of outcomes that belong to none of them.

    `pending` predictions have no outcome yet, and their horizon has not passed at the newest outcome.
    """

    predictions: int
    with_outcome: int
    pending: int
    outcomes: int
    unknown_key: int
    before_prediction: int
    after_horizon: int
    replaced: int
    unreadable_predictions: int
    unreadable_outcomes: int


@dataclass(frozen=True, slots=True)
class UpliftGroup:
    """Flagged predictions of one group whose outcome is known, and the share of positive outcomes among them."""

    predictions: int
    positive: int
    rate: Estimate
    mean_probability: float


@dataclass(frozen=True, slots=True)
class Uplift:
    """Share of positive outcomes among flagged customers of the control group less that of those to be contacted.

    It is `found` if its interval is above or below 0. `detectable` is the smallest uplift that groups of this size show
    in 80 of 100 cases. `since` is the time of the first prediction with a mark; earlier ones don't count.
    """

    since: str
    contacted: UpliftGroup
    control: UpliftGroup
    uplift: Estimate
    found: bool
    detectable: float


@dataclass(frozen=True, slots=True)
class QualityResult:
    """Quality of the predictions whose outcome is known, in total and by model version and week.

    All have the same measures. A figure has `value`, and `low` and `high` of its 95 % interval. Outcomes that arrive
    later change past weeks. `uplift` is null without `--uplift`.
    """

    horizon_days: float
    capacity: float
    coverage: Coverage
    total: Measures
    by_version: list[VersionQuality]
    by_week: list[VersionQuality]
    uplift: Uplift | None = None
