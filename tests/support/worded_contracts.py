"""Contracts that differ in their words and segments, and the data of a report on each of them."""

from collections.abc import Iterator
from typing import Any

from telco_stream.contract.document import decode_contract
from telco_stream.contract.schema import Boolean, Category, Contract, Text
from telco_stream.messages.prediction import Prediction, PredictionCodec
from telco_stream.report.predictions import ContactCosts
from telco_stream.report.run import ReportData
from tests.support.contracts import edited
from tests.support.report_data import OWN_VERSION, report_data
from tests.support.telco import CONTRACT

#: As many characters as a name can have.
LONG = "a column whose name is as long as a contract allows".ljust(127, "x") + "."


def _contract(label: dict[str, str], *segments: dict[str, Any], **more: Any) -> Contract:
    document = {
        "contract": 1,
        "name": "foreign",
        "key": {"name": "row_id", "kind": "integer"},
        "time": {"name": "event_ts"},
        "label": label,
        "features": [{"kind": "number", "name": "amount", "minimum": 0, "maximum": 100_000}, *segments],
        "segments": [segment["name"] for segment in segments],
        **more,
    }
    return decode_contract(edited(lambda _: None, document))


def _category(name: str, *values: str, **more: Any) -> dict[str, Any]:
    return {"kind": "category", "name": name, "values": values, **more}


_STATUS = {"name": "Status", "positive": "bad", "negative": "good"}
_MANY = [f"region {number:02}" for number in range(100)]
#: Contracts by what is special about them.
CONTRACTS: dict[str, Contract] = {
    "telco": CONTRACT,
    "verb": _contract(
        _STATUS | {"probability": "default_probability", "verb": "default"},
        _category("Home", "owner", "rent", "parents", nullable=True),
        _category("Job", "fixed", "freelance", "partime"),
        charge="amount",
        entity="applicant",
    ),
    "no verb": _contract(
        {"name": "churn", "positive": "yes", "negative": "no"}, {"kind": "boolean", "name": "international_plan"}
    ),
    "other value": _contract(_STATUS, entity="applicant"),
    "carried columns": _contract(
        _STATUS,
        features=[_category("Home", "owner", "rent"), {"kind": "number", "name": "amount", "minimum": 0, "maximum": 9}],
        carry=[
            {"kind": "text", "name": "City", "nullable": True},
            {"kind": "boolean", "name": "vip"},
            {"kind": "integer", "name": "visits", "minimum": 0, "maximum": 3},
            {"kind": "number", "name": "balance", "minimum": 0, "maximum": 10},
            "Home",
        ],
    ),
    "four segments": _contract(
        _STATUS | {"verb": "stop paying"},
        _category("region", *_MANY),
        {"kind": "boolean", "name": "MailedBefore", "nullable": True},
        _category("x - at y", "a", "b"),
        _category(">= 5", "small", "large"),
        entity="household",
    ),
    "long contract": _contract(
        {"name": f"1{LONG[1:]}", "positive": "p" * 256, "negative": "n" * 256, "probability": f"2{LONG[1:]}"},
        _category(f"3{LONG[1:]}", "v" * 256, "w" * 256),
        _category(f"4{LONG[1:]}", "short", "Donaudampfschifffahrtsgesellschaft"),
        entity="small and medium-sized enterprise abroad",
        charge="amount",
    ),
}


def answers(contract: Contract, number: int) -> Iterator[Prediction]:
    """Yield predictions with different probabilities over some days, and with all values of the segments."""
    codec = PredictionCodec(contract, ["amount"])
    columns = {column.name: column for column in contract.columns}
    label = contract.label
    for index in range(number):
        probability = (index * 7919 % 1000) / 1000
        fields: dict[str, Any] = {
            "key": f"{index:06}",
            "probability": probability,
            "prediction": label.positive if probability >= 0.31 else label.negative,
            "event_ts": "2026-01-01T00:00:00Z",
            "processed_ts": f"2026-01-{index % 9 + 1:02}T{index * 31 % 24:02}:00:00Z",
            "model_version": OWN_VERSION,
        }
        for position, name in enumerate(contract.repeated):
            fields[codec.attributes[name]] = _value(columns[name], index // (position + 1))
        if attribute := codec.attributes.get(contract.charge or ""):
            fields[attribute] = 100 * probability
        yield codec.type(**fields)


def data_of(name: str, number: int = 2_000) -> ReportData:
    """Return the data of a page with everything that it can show about a contract."""
    contract = CONTRACTS[name]
    return report_data(
        answers(contract, number), letters={"validation": 2}, contact_costs=ContactCosts(5, 100), contract=contract
    )


def _value(column: object, index: int) -> Any:
    match column:
        case Boolean(nullable=nullable):
            return None if nullable and index % 3 == 0 else index % 2 == 0
        case Category(values=values, nullable=nullable):
            return (*values, *[""] * nullable)[index % (len(values) + nullable)]
        case Text():
            return (None, "Rome", "Oslo")[index % 3]
        case _:
            return index % 4
