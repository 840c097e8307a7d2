"""Data for a report page, aggregated from predictions as `report` does it."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from msgspec import structs

from telco_stream.contract.schema import Contract
from telco_stream.dlq.listing import LetterSummary, ReasonCount
from telco_stream.messages.prediction import APPROXIMATE, BASE, REASONS, Prediction, Reason, encode_prediction
from telco_stream.model.drift.results import DriftResult, ExpectedQuality, FeatureDrift
from telco_stream.model.manifest import Manifest, decode_manifest
from telco_stream.model.quality import Coverage, Measures, QualityResult, VersionQuality
from telco_stream.quality.measures import measure, measure_uplift
from telco_stream.report.predictions import ContactCosts, PredictionFilter, ReportOptions, report
from telco_stream.report.run import OffsetRange, ReportData
from telco_stream.report.trends import Trends
from tests.support.cli import ROOT
from tests.support.records import FakeRecord
from tests.support.telco import CODEC, CONTRACT, make_prediction

MANIFEST: Manifest = decode_manifest((ROOT / "models/churn/manifest.json").read_bytes())
OWN_VERSION = MANIFEST.model_version
AS_OF = "2026-02-01T12:00:00.000Z"
CONTRACTS = ["Month-to-month", "One year", "Two year"]
SERVICES = ["DSL", "Fiber optic", "No"]
#: IDs that do harm if they are interpreted as anything but text.
HOSTILE = [
    "<script>window.harmed = 1</script>",
    "<img src=x onerror='window.harmed = 1'>",
    '"><b>bold</b>',
    "{{ 7 * 7 }}{% raw %}",
    "$x_{y$",
    "مرحبا بالعالم",
    "\u202eevil\u202c",
    "a\x00b\x1b[31m",
    "=HYPERLINK(1)",
    "x" * 3_000,
    "😀",
]


def prediction(name: str = "a", share: float = 0.5, **more: Any) -> Prediction:
    """Return a prediction for a customer, by the threshold of the bundled model."""
    fields: dict[str, Any] = {
        "customerID": name,
        "churn_probability": share,
        "prediction": "Yes" if share >= MANIFEST.threshold else "No",
        "event_ts": "2026-01-31T00:00:00Z",
        "processed_ts": "2026-02-01T00:00:00Z",
        "model_version": OWN_VERSION,
        "Contract": CONTRACTS[0],
        "InternetService": SERVICES[1],
    }
    return make_prediction(**fields | more)


def with_reasons(given: Prediction, *reasons: Reason, is_approximate: bool = False) -> Prediction:
    """Return the prediction with reasons."""
    extended = CODEC.predictions.type_with((BASE, REASONS, APPROXIMATE))
    mark = {APPROXIMATE: True} if is_approximate else {}
    made: Prediction = extended(**structs.asdict(given), base=-1.0, reasons=reasons, **mark)
    return made


def many_predictions(number: int) -> Iterable[Prediction]:
    """Yield different predictions over two weeks."""
    for index in range(number):
        share = (index * 7919 % 1000) / 1000
        time = f"2026-01-{index % 14 + 1:02}T{index * 31 % 24:02}:{index * 17 % 60:02}:00Z"
        more = {"Contract": CONTRACTS[index % 3], "InternetService": SERVICES[index // 3 % 3], "processed_ts": time}
        yield prediction(f"{index:06}-ID", share, **more)


def drift_result(name: str = "Contract", **more: Any) -> DriftResult:
    """Return a result in which one feature has drifted, one exceeds its limit once, and one has not changed."""
    since = "2026-01-30T08:00:00.000Z"
    features = [
        FeatureDrift(name, 0.25, 0.01, f"more {name}", name, 0.2, 0.4, 0.0, 0.0, 3, since, drifted=True),
        FeatureDrift("tenure", 0.02, 0.015, "higher", "40 to 49", 0.1, 0.12, 0.0, 0.0, 1, since, drifted=False),
        FeatureDrift("score", 0.001, 0.015, None, None, None, None, 0.0, 0.0, 0, None, drifted=False),
    ]
    expected, measured = ExpectedQuality(0.8, None, 0.7, 0.12), ExpectedQuality(0.85, 0.55, 0.76, 0.13)
    fields: dict[str, Any] = {"records": 21_000, "rejected": 2, "windows": 3, "window_records": 7_000}
    result = DriftResult(OWN_VERSION, 7_043, 0, 0, since, 0, 0, [name], features, expected, measured)
    return replace(result, **fields | more)


def report_data(
    predictions: Iterable[Prediction],
    *,
    criteria: PredictionFilter = PredictionFilter(),  # noqa: B008 - immutable
    top_k: int = 10,
    letters: dict[str, int] | None = None,
    contact_costs: ContactCosts | None = None,
    open_letters: dict[str, int] | None = None,
    contract: Contract = CONTRACT,
    by: Sequence[str] | None = None,
    drift: DriftResult | None = None,
) -> ReportData:
    """Return the data of a page about these predictions."""
    trends = Trends(contract.label.positive)
    records = (FakeRecord(encode_prediction(prediction)) for prediction in predictions)
    options = ReportOptions(
        top_k, criteria, [trends.add], contact_costs=contact_costs, manifest=MANIFEST, contract=contract, by=by
    )
    result = report(records, options)
    result = replace(result, summary=replace(result.summary, drift=drift))
    read = OffsetRange("telco.churn.predictions", {0: 0, 1: 7}, {0: 10, 1: 12})
    return ReportData(
        AS_OF,
        criteria,
        result,
        trends,
        _letters(letters or {}, open_letters),
        read,
        OffsetRange("telco.deadletter", {0: 0}, {0: 3}),
    )


def with_quality(data: ReportData, *versions: str, weeks: int = 3, positive: float = 0.3) -> ReportData:
    """Return the data with outcomes of 400 predictions of each version in each week, a tenth in the control group."""
    random = np.random.default_rng(1)
    count = 400 * weeks * len(versions)
    probability = random.uniform(0, 1, count)
    left, control = random.random(count) < probability * 2 * positive, random.random(count) < 0.1
    flagged = probability >= 0.3
    week, version = np.arange(count) % weeks, np.arange(count) // (400 * weeks)

    def measured(rows: Any) -> Measures:
        return measure(probability[rows], left[rows], flagged[rows], 0.1)

    quality = QualityResult(
        horizon_days=30.0,
        capacity=0.1,
        coverage=Coverage(count + 70, count, 50, count + 9, 4, 3, 1, 1, 0, 0),
        total=measured(slice(None)),
        by_version=[VersionQuality(name, None, measured(version == at)) for at, name in enumerate(versions)],
        by_week=[
            VersionQuality(name, f"2026-01-{5 + 7 * number:02}", measured((version == at) & (week == number)))
            for number in range(weeks)
            for at, name in enumerate(versions)
        ],
        uplift=measure_uplift(probability[flagged], left[flagged], control[flagged], AS_OF),
    )
    return replace(data, quality=quality)


def _letters(totals: dict[str, int], open_letters: dict[str, int] | None) -> LetterSummary:
    """Return numbers of letters by type; all of them are open, or as many as given, and the others are answered."""
    numbers = totals if open_letters is None else open_letters
    reasons = [ReasonCount(name, "code", None, numbers.get(name, 0), total) for name, total in totals.items()]
    total, still_open = sum(totals.values()), sum(numbers.values())
    states = {"open": still_open, "replayed": 0, "answered": total - still_open, "given_up": 0}
    return LetterSummary(total, totals, 0, states, reasons)


def write_page(folder: Path, page: bytes) -> Path:
    """Write the page to a file."""
    file = folder / "report.html"
    file.write_bytes(page)
    return file
