"""What the predictions topic says."""

from collections.abc import Iterable
from dataclasses import dataclass

from telco_stream.analytics import Analytics, Summary
from telco_stream.contracts.customer import BAD_DATA
from telco_stream.contracts.prediction import Prediction, decode_prediction


@dataclass(frozen=True, slots=True)
class Report:
    """The summary, and how many values beside its predictions are none; those are told of, but no part of the JSON."""

    summary: Summary
    unreadable: int


def report(values: Iterable[bytes | None], top_k: int) -> Report:
    """The numbers of the predictions among `values`, which are those of the topic's records, in their order."""
    analytics, unreadable = Analytics(), 0
    for value in values:
        prediction = _decode(value)
        if prediction is None:
            unreadable += 1
        else:
            analytics.add(prediction)
    return Report(analytics.result(top_k), unreadable)


def _decode(value: bytes | None) -> Prediction | None:
    """The prediction, or nothing where another hand has written something else to the topic."""
    try:
        prediction = decode_prediction(value or b"")
    except BAD_DATA:
        return None
    return prediction if 0 <= prediction.churn_probability <= 1 else None
