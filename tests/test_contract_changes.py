"""Comparison of two contracts: what each change means for producers, the model and readers of predictions."""

from typing import Any

import pytest

from telco_stream.contract.changes import compare
from telco_stream.contract.document import decode_contract
from tests.support.contracts import Document, Edit, edited, small

PLAN, FEE, DATA, COMPLAINTS, ROAMING, DEVICE = range(6)


def column(index: int, **values: Any) -> Edit:
    """Return an edit that sets keys of a feature, and removes those whose value is None."""

    def edit(document: Document) -> None:
        feature = document["features"][index] | values
        document["features"][index] = {key: value for key, value in feature.items() if value is not None}

    return edit


def carried(**values: Any) -> Edit:
    """Return an edit that sets keys of the carried column."""
    return lambda document: document["carry"][0].update(values)


def top(**values: Any) -> Edit:
    """Return an edit that sets keys of the contract."""
    return lambda document: document.update(values)


def rows(old: Edit, new: Edit) -> list[tuple[str, str]]:
    """Return path and effect of each change."""
    comparison = compare(small(old), small(new))
    assert comparison.verdict == (comparison.changes[0].effect if comparison.changes else "compatible")
    return [(change.path, change.effect) for change in comparison.changes]


def same(_: Document) -> None:
    """Edit nothing."""


BREAKING: dict[str, Edit] = {
    "key.name": lambda document: document["key"].update(name="id"),
    "key.kind": lambda document: document["key"].update(kind="text"),
    "time.name": lambda document: document["time"].update(name="at"),
    "label.name": lambda document: document["label"].update(name="churned"),
    "label.positive": lambda document: document["label"].update(positive="yes"),
    "label.negative": lambda document: document["label"].update(negative="no"),
    "label.probability": lambda document: document["label"].update(probability="p"),
    "plan.values": column(PLAN, values=["prepaid", "premium", "basic"]),
    "monthly_fee.minimum": column(FEE, minimum=1),
    "monthly_fee.maximum": column(FEE, maximum=999),
    "complaints.maximum": column(COMPLAINTS, maximum=99),
    "data_gb.nullable": column(DATA, nullable=None, fill=None),
    "roaming.optional": column(ROAMING, optional=None),
    "device.other": column(DEVICE, other=None),
    "monthly_fee.kind": column(FEE, kind="integer"),
    "region.max_length": carried(max_length=79),
    "region.optional": carried(optional=False),
    "missing": top(missing=["NA"]),
}
RETRAINING: dict[str, Edit] = {
    "plan.values": column(PLAN, values=["prepaid", "basic", "premium", "family"]),
    "plan.other": column(PLAN, other="basic"),
    "monthly_fee.minimum": column(FEE, minimum=-1),
    "monthly_fee.maximum": column(FEE, maximum=1001),
    "monthly_fee.nullable": column(FEE, nullable=True),
    "data_gb.optional": column(DATA, optional=True),
    "data_gb.fill": column(DATA, fill=1),
    "device.other": column(DEVICE, other="unknown"),
}
COMPATIBLE: dict[str, Edit] = {
    "name": top(name="mobile"),
    "entity": top(entity="customer"),
    "entities": top(entities="clients"),
    "charge": top(charge="data_gb"),
    "$schema": top(**{"$schema": "other.json"}),
    "missing": top(missing=["NA", "?", "-"]),
    "label.verb": lambda document: document["label"].update(verb="churn"),
    "region.max_length": carried(max_length=81),
    "segments": top(segments=["roaming", "plan"]),
    "carry": lambda document: document["carry"].append("monthly_fee"),
}


@pytest.mark.parametrize("path", BREAKING)
def test_compare_is_breaking_when_less_fits(path: str) -> None:
    assert rows(same, BREAKING[path]) == [(path, "breaking")]


@pytest.mark.parametrize("path", RETRAINING)
def test_compare_needs_retraining_when_a_feature_changes(path: str) -> None:
    assert rows(same, RETRAINING[path]) == [(path, "needs retraining")]


@pytest.mark.parametrize("path", COMPATIBLE)
def test_compare_is_compatible_when_the_model_reads_the_same(path: str) -> None:
    assert rows(same, COMPATIBLE[path]) == [(path, "compatible")]


def test_compare_finds_nothing_when_contracts_are_equal() -> None:
    assert rows(same, same) == []


@pytest.mark.parametrize(
    ("edit", "expected"),
    [
        (column(PLAN, values=["prepaid", "basic"]), [("plan.values", "breaking")]),
        (
            column(PLAN, values=["prepaid", "family", "basic", "premium"]),
            [("plan.values", "breaking"), ("plan.values", "needs retraining")],
        ),
        (
            column(PLAN, values=["prepaid", "basic", "family"]),
            [("plan.values", "breaking"), ("plan.values", "needs retraining")],
        ),
        (column(DEVICE, values=["phone"]), [("device.values", "breaking")]),
    ],
)
def test_compare_judges_values_by_their_positions(edit: Edit, expected: list[tuple[str, str]]) -> None:
    assert rows(same, edit) == expected


def test_compare_says_what_a_removed_value_counts_as() -> None:
    (change,) = compare(small(), small(column(DEVICE, values=["phone"]))).changes
    assert (change.change, change.reason) == ("removed 'tablet'", "they count as 'rest'")


def test_compare_quotes_few_and_short_values() -> None:
    values = ["prepaid", "basic", "premium", *(f"{n}{'x' * 200}" for n in range(500))]
    (change,) = compare(small(), small(column(PLAN, values=values))).changes
    assert change.change.endswith(", 497 more")
    assert len(change.change) < 200


@pytest.mark.parametrize(
    ("added", "effect"),
    [({}, "breaking"), ({"nullable": True}, "breaking"), ({"nullable": True, "optional": True}, "needs retraining")],
)
def test_compare_judges_a_new_feature_by_optional(added: Document, effect: str) -> None:
    new = {"kind": "boolean", "name": "fibre", **added}
    assert rows(same, lambda document: document["features"].append(new)) == [("fibre", effect)]


@pytest.mark.parametrize(("added", "effect"), [({}, "breaking"), ({"nullable": True, "optional": True}, "compatible")])
def test_compare_judges_a_new_carried_column_by_optional(added: Document, effect: str) -> None:
    new = {"kind": "text", "name": "city", **added}
    assert rows(same, lambda document: document["carry"].append(new)) == [("city", effect)]


def test_compare_needs_retraining_when_a_feature_is_removed() -> None:
    assert rows(same, lambda document: document["features"].pop(DATA)) == [("data_gb", "needs retraining")]


def test_compare_needs_retraining_when_features_are_reordered() -> None:
    assert rows(same, lambda document: document["features"].reverse()) == [("features", "needs retraining")]


def test_compare_is_breaking_when_a_column_is_renamed() -> None:
    assert rows(same, column(DATA, name="data")) == [("data", "breaking"), ("data_gb", "needs retraining")]


def test_compare_accepts_decimals_for_whole_numbers() -> None:
    """Unless predictions repeat the column: they would write 5.0 for 5."""

    def decimals(document: Document) -> None:
        column(COMPLAINTS, kind="number")(document)

    def unrepeated(document: Document) -> None:
        document["carry"].remove("complaints")

    assert rows(same, decimals) == [("complaints.kind", "breaking")]

    def unrepeated_decimals(document: Document) -> None:
        unrepeated(document)
        decimals(document)

    assert rows(unrepeated, unrepeated_decimals) == [("complaints.kind", "needs retraining")]


@pytest.mark.parametrize(
    "edit",
    [
        column(COMPLAINTS, nullable=True),
        lambda document: document["carry"].__setitem__(0, {"kind": "category", "name": "region", "values": ["a"]}),
    ],
)
def test_compare_is_breaking_when_predictions_can_hold_null_or_less(edit: Edit) -> None:
    assert compare(small(), small(edit)).verdict == "breaking"


@pytest.mark.parametrize(("max_length", "effect"), [(5, "compatible"), (4, "breaking")])
def test_compare_accepts_any_text_for_a_carried_category(max_length: int, effect: str) -> None:
    old, new = (
        lambda document: document["carry"].append({"kind": "category", "name": "city", "values": ["Paris", "Rome"]}),
        lambda document: document["carry"].append({"kind": "text", "name": "city", "max_length": max_length}),
    )
    assert rows(old, new) == [("city.kind", effect)]


def test_compare_ignores_null_in_predictions_that_did_not_have_the_field() -> None:
    def edit(document: Document) -> None:
        column(FEE, nullable=True)(document)
        document["carry"].append("monthly_fee")

    assert rows(same, edit) == [("monthly_fee.nullable", "needs retraining"), ("carry", "compatible")]


def test_compare_needs_retraining_when_null_has_a_number() -> None:
    edit = column(COMPLAINTS, nullable=True, fill=0)
    assert rows(same, edit) == [("complaints.nullable", "needs retraining")]


def test_compare_is_breaking_when_predictions_lose_a_field() -> None:
    assert rows(same, lambda document: document["carry"].pop()) == [("carry", "breaking")]
    assert rows(same, lambda document: document["carry"].pop(0)) == [("carry", "breaking")]
    assert rows(same, lambda document: document["segments"].pop()) == [("segments", "breaking")]


def test_compare_is_breaking_when_reports_lose_a_segment() -> None:
    def edit(document: Document) -> None:
        document["carry"].append(document["segments"].pop())

    (change,) = compare(small(), small(edit)).changes
    assert (change.path, change.effect, change.reason) == ("segments", "breaking", "reports no longer group by it")


def test_compare_is_compatible_when_a_segment_is_added() -> None:
    assert rows(top(segments=["plan"]), same) == [("segments", "compatible")]


def test_compare_needs_retraining_when_the_model_reads_a_carried_column() -> None:
    def edit(document: Document) -> None:
        document["carry"].append({"kind": "boolean", "name": "roaming", "nullable": True, "optional": True})
        document["features"].pop(ROAMING)

    assert rows(same, edit) == [("roaming", "needs retraining")]
    assert rows(edit, same) == [("roaming", "needs retraining")]


def test_compare_lists_the_worst_change_first() -> None:
    def edit(document: Document) -> None:
        COMPATIBLE["name"](document)
        RETRAINING["monthly_fee.maximum"](document)
        BREAKING["key.name"](document)

    assert [effect for _, effect in rows(same, edit)] == ["breaking", "needs retraining", "compatible"]


def test_compare_is_fast_when_categories_are_large() -> None:
    values = [str(number) for number in range(5_000)]
    old, new = (decode_contract(edited(column(DEVICE, values=order))) for order in (values, values[::-1]))
    assert [change.change for change in compare(old, new).changes] == ["at other positions"]
