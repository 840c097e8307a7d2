"""What `telco-stream status` says, held against limits: pure, a line where one is exceeded, None where all is well."""

from collections.abc import Mapping
from typing import Any


def too_far_behind(status: Mapping[str, Any], limit: int) -> str | None:
    """Whether the group has more than `limit` records yet to answer."""
    if status["lag"] <= limit:
        return None
    return f"The lag of group {status['group']} is {status['lag']:,} records, above {limit:,}"


def too_old(status: Mapping[str, Any], limit: float) -> str | None:
    """Whether the newest prediction is older than `limit` seconds; where there is none, it is."""
    age = status["newest_prediction_age_seconds"]
    if age is None:
        return f"There is no prediction; the newest may be {limit:g} s old"
    return f"The newest prediction is {age:,.1f} s old, above {limit:g} s" if age > limit else None


def too_many_letters(letters: int, predictions: int, limit: float, minutes: float) -> str | None:
    """Whether more than `limit`, a share from 0 to 1, of the answers of the last `minutes` are dead letters."""
    answers = letters + predictions
    if not answers or letters / answers <= limit:
        return None
    return (
        f"{letters:,} of the {answers:,} answers of the last {minutes:g} min are dead letters:"
        f" {letters / answers:.1%}, above {limit:.1%}"
    )


def still_hidden(status: Mapping[str, Any], ends: Mapping[str, int]) -> str | None:
    """Whether a reader gets to `ends`, the raw topic's offsets by partition; partitions are text, as JSON has them."""
    raw = status["topics"][0]
    for number, end in sorted(ends.items()):
        if (visible := raw["end_offsets"].get(number, 0)) < end:
            return f"Partition {number} of {raw['topic']} can be read up to {visible:,}, below {end:,}"
    return None


def not_answered(status: Mapping[str, Any], ends: Mapping[str, int]) -> str | None:
    """Whether the group has answered all before `ends`; a transaction's marker needs no answer, so lag 0 is enough."""
    for one in status["partitions"]:
        end, committed = ends.get(str(one["partition"]), 0), one["committed"] or 0
        if committed < end and one["lag"]:
            return f"Partition {one['partition']} is answered up to {committed:,}, below {end:,}"
    return None
