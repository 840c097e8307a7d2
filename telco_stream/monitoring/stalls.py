"""Which partitions stand still although they should move. Pure: told of offsets and times, it says for how long."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PartitionProgress:
    """A partition as last seen: answered up to where, ending where (None is unknown), and well until when."""

    answered: int | None
    end: int | None
    last_progress_at: float

    @property
    def lag(self) -> int | None:
        """Offsets between the end and what is answered; None where one of them is unknown."""
        if self.answered is None or self.end is None:
            return None
        return max(0, self.end - self.answered)


def update(
    before: Mapping[int, PartitionProgress],
    *,
    assigned: Collection[int],
    answered: Mapping[int, int],
    ends: Mapping[int, int],
    now: float,
) -> dict[int, PartitionProgress]:
    """How the owned partitions stand now. Well is what has moved, or has nothing to do; unknown is neither."""
    return {one: _progress_of(before.get(one), answered.get(one), ends.get(one), now) for one in assigned}


def _progress_of(
    before: PartitionProgress | None, answered: int | None, end: int | None, now: float
) -> PartitionProgress:
    if before is None:
        return PartitionProgress(answered, end, now)
    if answered is None:  # taken back to what is committed: not a step forward
        answered = before.answered
    seen = PartitionProgress(answered, end, now)
    return (
        seen
        if answered != before.answered or seen.lag == 0
        else PartitionProgress(answered, end, before.last_progress_at)
    )
