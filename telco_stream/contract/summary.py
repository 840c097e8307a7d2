"""Summary of a valid contract in a few lines."""

from collections.abc import Mapping
from dataclasses import dataclass

from telco_stream.contract.rules import hints
from telco_stream.contract.schema import Contract

_KINDS = ("number", "integer", "boolean", "category")


@dataclass(frozen=True, slots=True)
class ContractSummary:
    """Names of the columns with a role, the number of features by kind, and `hints` at likely mistakes."""

    name: str
    key: str
    time: str
    label: str
    positive: str
    negative: str
    features: Mapping[str, int]
    carry: list[str]
    segments: list[str]
    hints: list[str]


def summarize(contract: Contract) -> ContractSummary:
    """Summarize a valid contract."""
    label = contract.label
    return ContractSummary(
        contract.name,
        contract.key.name,
        contract.time.name,
        label.name,
        label.positive,
        label.negative,
        {kind: sum(feature.kind == kind for feature in contract.features) for kind in _KINDS},
        [column if isinstance(column, str) else column.name for column in contract.carry],
        list(contract.segments),
        list(hints(contract)),
    )
