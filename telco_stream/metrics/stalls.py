"""Which partitions stand still although they should move. Pure: told of offsets and times, it says for how long."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Standing:
    """A partition as last seen: answered up to where, ending where (None is unknown), and well until when."""

    answered: int | None
    end: int | None
    well_at: float

    @property
    def lag(self) -> int | None:
        """Offsets between the end and what is answered; None where one of them is unknown."""
        if self.answered is None or self.end is None:
            return None
        return max(0, self.end - self.answered)


def look(
    before: Mapping[int, Standing],
    *,
    owned: Collection[int],
    answered: Mapping[int, int],
    ends: Mapping[int, int],
    now: float,
) -> dict[int, Standing]:
    """How the owned partitions stand now. Well is what has moved, or has nothing to do; unknown is neither."""
    return {one: _standing(before.get(one), answered.get(one), ends.get(one), now) for one in owned}


def _standing(before: Standing | None, answered: int | None, end: int | None, now: float) -> Standing:
    if before is None:
        return Standing(answered, end, now)
    if answered is None:  # taken back to what is committed: not a step forward
        answered = before.answered
    seen = Standing(answered, end, now)
    return seen if answered != before.answered or seen.lag == 0 else Standing(answered, end, before.well_at)
