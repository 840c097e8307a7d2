"""Several runs of one thing, as one figure."""

from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True, slots=True)
class Figure:
    """The median of several runs, and what they were."""

    runs: tuple[float, ...]

    @property
    def median(self) -> float:
        """The one in the middle."""
        return median(self.runs)

    @property
    def spread(self) -> float:
        """Half the distance between the lowest and the highest, as a part of the median."""
        return (max(self.runs) - min(self.runs)) / 2 / self.median if self.median else 0.0


def figure(runs: list[float], digits: int = 1) -> Figure:
    """One figure of these runs, rounded."""
    return Figure(tuple(round(one, digits) for one in runs))


#: All that a session has measured, by the subject's name and the measure's.
Figures = dict[str, dict[str, Figure]]
