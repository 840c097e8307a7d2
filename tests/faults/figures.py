"""Figures of the fault cases, as a table and as JSON."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Self

from tests.faults.checker import Verdict

if TYPE_CHECKING:
    from tests.faults.scenario import Scenario


@dataclass(frozen=True, slots=True)
class Figures:
    """Figures of one case; `longest_wait_seconds` runs from an input's confirmation to its visible answer."""

    case: str
    inputs: int
    faults: int
    missing: int
    duplicated: int
    unexplained: int
    wrong: int
    longest_wait_seconds: float | None
    seconds: float
    seed: int

    @classmethod
    def of(cls, scenario: "Scenario", verdict: Verdict, longest_wait: float | None, seconds: float) -> Self:
        """Return the figures of a scenario and its verdict."""
        return cls(
            case=scenario.name,
            inputs=verdict.inputs,
            faults=scenario.faults,
            missing=len(verdict.missing),
            duplicated=len(verdict.duplicated),
            unexplained=len(verdict.unexplained),
            wrong=len(verdict.wrong),
            longest_wait_seconds=None if longest_wait is None else round(longest_wait, 1),
            seconds=round(seconds, 1),
            seed=scenario.seed,
        )


def as_table(rows: Sequence[Figures]) -> list[str]:
    """Return the lines of a Markdown table."""
    names = [field.name for field in fields(Figures)]
    lines = [names, ["---"] * len(names)]
    lines += [["" if value is None else str(value) for value in asdict(row).values()] for row in rows]
    return [f"| {' | '.join(cells)} |" for cells in lines]


def write_json(rows: Sequence[Figures], path: Path) -> None:
    """Write the figures as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps([asdict(row) for row in rows], indent=2) + "\n")
