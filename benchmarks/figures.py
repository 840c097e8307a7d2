"""Figures of several runs."""

from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True, slots=True)
class Figure:
    """The values of several runs."""

    runs: tuple[float, ...]

    @property
    def median(self) -> float:
        """Return the median."""
        return median(self.runs)

    @property
    def spread(self) -> float:
        """Return half the range as a share of the median."""
        return (max(self.runs) - min(self.runs)) / 2 / self.median if self.median else 0.0


def figure(runs: list[float], digits: int = 1) -> Figure:
    """Return a figure of these values, rounded."""
    return Figure(tuple(round(value, digits) for value in runs))


#: Figures of a session by subject and measure.
Figures = dict[str, dict[str, Figure]]
