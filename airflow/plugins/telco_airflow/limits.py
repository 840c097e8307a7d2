"""Compares results of `telco-stream` with limits: pure functions that return an error message, or None."""

from collections.abc import Mapping
from typing import Any


def lag_error(status: Mapping[str, Any], limit: int) -> str | None:
    """Return an error if more than `limit` records are unanswered."""
    if status["lag"] <= limit:
        return None
    return f"The lag of group {status['group']} is {status['lag']:,} records, above {limit:,}"


def age_error(status: Mapping[str, Any], limit: float) -> str | None:
    """Return an error if the newest prediction is older than `limit` seconds, or if there is none."""
    age = status["newest_prediction_age_seconds"]
    if age is None:
        return f"There is no prediction; the newest may be {limit:g} s old"
    return f"The newest prediction is {age:,.1f} s old, above {limit:g} s" if age > limit else None


def dead_letter_share_error(letters: int, predictions: int, limit: float, minutes: float) -> str | None:
    """Return an error if the share of dead letters in the last `minutes` exceeds `limit` (0 to 1)."""
    answers = letters + predictions
    if not answers or letters / answers <= limit:
        return None
    return (
        f"{letters:,} of the {answers:,} answers of the last {minutes:g} min are dead letters:"
        f" {letters / answers:.1%}, above {limit:.1%}"
    )


def unreadable_rows_error(status: Mapping[str, Any], ends: Mapping[str, int]) -> str | None:
    """Return an error if the raw topic is not readable up to `ends`, offsets by partition (as JSON keys)."""
    raw = status["topics"][0]
    for number, end in sorted(ends.items()):
        if (visible := raw["end_offsets"].get(number, 0)) < end:
            return f"Partition {number} of {raw['topic']} can be read up to {visible:,}, below {end:,}"
    return None


def unanswered_rows_error(status: Mapping[str, Any], ends: Mapping[str, int]) -> str | None:
    """Return an error if records before `ends` are unanswered; lag 0 is enough, because markers have no answers."""
    for partition in status["partitions"]:
        end, committed = ends.get(str(partition["partition"]), 0), partition["committed"] or 0
        if committed < end and partition["lag"]:
            return f"Partition {partition['partition']} is answered up to {committed:,}, below {end:,}"
    return None
