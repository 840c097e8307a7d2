"""Contracts of unusual shapes, as parsed JSON."""

from typing import Any

from tests.support.contracts import Document


def shape(features: list[Document], **more: Any) -> Document:
    """Return a contract with these features."""
    roles = {"key": {"name": "id"}, "time": {"name": "event_ts"}, **label("yes", "no")}
    return {"contract": 1, "name": "shape", **roles, "features": features, **more}


def texts(count: int, **more: Any) -> list[Document]:
    values = ["red", "green", "blue"]
    return [{"kind": "category", "name": f"text {number}", "values": values, **more} for number in range(count)]


def numbers(count: int, **more: Any) -> list[Document]:
    return [
        {"kind": "number", "name": f"number {number}", "minimum": -5, "maximum": 5, **more} for number in range(count)
    ]


def booleans(count: int, **more: Any) -> list[Document]:
    return [{"kind": "boolean", "name": f"flag {number}", **more} for number in range(count)]


def named(*names: str) -> list[Document]:
    """Return features with these names, numbers and categories in turn."""
    return [[*numbers(1), *texts(1)][index % 2] | {"name": name} for index, name in enumerate(names)]


def label(positive: str, negative: str) -> Document:
    return {"label": {"name": "outcome", "positive": positive, "negative": negative}}


NULLABLE = {"nullable": True, "optional": True}
CARRIED: list[Any] = [
    {"kind": "text", "name": "note", "nullable": True},
    {"kind": "number", "name": "price", "minimum": 0, "maximum": 9},
    {"kind": "integer", "name": "size", "minimum": 0, "maximum": 9, "nullable": True},
    {"kind": "boolean", "name": "is new"},
    {"kind": "category", "name": "shop", "values": ["north", "south"], "other": "abroad"},
    {"kind": "category", "name": "channel", "values": ["web", "phone"]},
]
SHAPES: dict[str, Document] = {
    **{f"{count} texts": shape([*texts(count), *numbers(1)]) for count in (1, 5, 6, 11, 16, 40)},
    "one text": shape(texts(1)),
    "one number": shape(numbers(1)),
    "no numbers": shape(texts(3)),
    "no texts": shape([*numbers(2), *booleans(1)]),
    "one boolean": shape(booleans(1)),
    "four segments": shape([*texts(3), *booleans(2)], segments=["text 0", "text 2", "flag 0", "flag 1"]),
    "nullable": shape(
        [*texts(2, **NULLABLE), *numbers(2, **NULLABLE), *booleans(1, **NULLABLE)], segments=["text 0", "flag 0"]
    ),
    "filled": shape([*texts(1), *numbers(2, nullable=True, fill=-5)], missing=["NA", "-"]),
    "other": shape([*texts(2, other="rest"), *numbers(1)], segments=["text 0"]),
    "carry": shape([*texts(2), *numbers(1), *booleans(1)], carry=[*CARRIED, "text 1", "number 0", "flag 0"]),
    "case": shape(named("Price", "price", "PRICE", "pricE"), segments=["price"], carry=["Price", "PRICE"]),
    "names": shape(
        named("__class__", "key", "f0", "c0", "event_ts", "label", "probability", "struct", "self"),
        time={"name": "at"},
        label={"name": "y", "positive": "yes", "negative": "no", "probability": "p"},
        segments=["key", "c0"],
        carry=["__class__", "event_ts", "f0"],
    ),
    "signs": shape(
        named("Total Charges", ">= 5", "é", "e\u0301", "$.a", "a,b", "'", "😀", "<b>", "a[0]"),
        segments=[">= 5", "e\u0301", "a,b"],
        carry=["é", "$.a", "<b>"],
    ),
    "label 1": shape(named("a", "b"), **label("1", "0")),
    "label true": shape(named("a", "b"), **label("true", "false")),
    "label unicode": shape(named("a", "b"), **label("да ✓", 'нет, "ещё"')),
    "integer key": shape(named("a", "b"), key={"name": "id", "kind": "integer"}),
    "flag of 0 and 1": shape([{"kind": "integer", "name": "flag", "minimum": 0, "maximum": 1}, *texts(1)]),
}
