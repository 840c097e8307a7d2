"""The results of `status` and `doctor`, which display and docs read without importing a Kafka client."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

CheckState: TypeAlias = Literal["ok", "failed", "skipped"]


@dataclass(frozen=True, slots=True)
class TopicStatus:
    """Start and end offsets of a topic by partition; the end is the last stable offset."""

    topic: str
    partitions: int
    start_offsets: dict[int, int]
    end_offsets: dict[int, int]


@dataclass(frozen=True, slots=True)
class PartitionLag:
    """Progress of the group in one partition of the raw topic; `committed` is None without a committed offset.

    `lag` is the number of unanswered records; above 10,000, it is the number of their offsets. `expired_unanswered`
    counts offsets that retention deleted before the group answered them; transaction markers may be among them.
    `owner` is the instance ID or member ID of the consumer that the partition is assigned to, `host` its address.
    `model_version` is that of the newest prediction for the partition, if it is the newest of its own partition, too.
    """

    partition: int
    committed: int | None
    end: int
    lag: int
    expired_unanswered: int
    owner: str | None = None
    host: str | None = None
    model_version: str | None = None


@dataclass(frozen=True, slots=True)
class StatusResult:
    """State of the group and its topics, and of the outcomes topic if it exists; the age is None without a prediction.

    `catch_up_seconds` is the time until the lag is 0: lag / (`answered_per_second` - `arriving_per_second`), rates of
    the last minute and the last 10 seconds. It is None if the lag does not shrink or the group has no members.
    `model_versions` are those that the newest prediction of each partition names.
    `open_dead_letters` is None if more than 200,000 records would have to be read, or a topic can't be.
    """

    time: str
    group: str
    state: str
    members: int
    lag: int
    catch_up_seconds: float | None
    answered_per_second: float
    arriving_per_second: float
    expired_unanswered: int
    newest_prediction_age_seconds: float | None
    model_versions: list[str]
    dead_letters: int
    open_dead_letters: int | None
    topics: list[TopicStatus]
    partitions: list[PartitionLag]


def exceeded(result: StatusResult, *, max_lag: int | None = None, max_age: float | None = None) -> list[str]:
    """Return a message for each exceeded limit; without a prediction, its age exceeds any limit."""
    lines = []
    if max_lag is not None and result.lag > max_lag:
        lines.append(f"the lag of group {result.group} is {result.lag:,}, above {max_lag:,}")
    age = result.newest_prediction_age_seconds
    if max_age is not None and age is None:
        lines.append("there are no predictions")
    elif max_age is not None and age is not None and age > max_age:
        lines.append(f"the newest prediction is {age:,.1f} s old, above {max_age:g} s")
    return lines


@dataclass(frozen=True, slots=True)
class Check:
    """A check of `doctor`. The message says what was found, what to do, or why the check was skipped.

    `exit_code` is 0 unless the check failed.
    """

    check: str
    subject: str
    state: CheckState
    message: str
    exit_code: int = 0


@dataclass(frozen=True, slots=True)
class DoctorResult:
    """The checks in order, each with the state `ok`, `failed` or `skipped`; its message says what to do.

    `ok` is true if no check failed. `exit_code` is that of the first failed check.
    """

    ok: bool
    exit_code: int
    checks: list[Check]
