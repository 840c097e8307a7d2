"""Rules of a contract that its types cannot express; each broken one is a sentence about the file."""

import re
from collections import Counter
from collections.abc import Iterator

from telco_stream.contract.schema import (
    MODEL_VERSION,
    PREDICTION,
    PROCESSED_TS,
    Boolean,
    Carried,
    Category,
    Contract,
    Integer,
    Number,
)

#: Values of all categories together: compiling one takes some 20 microseconds.
MAX_ALL_VALUES = 20_000
#: Combinations of segments that a report may have to count.
MAX_COMBINATIONS = 10_000
#: Single precision holds larger numbers, but models compute with their powers.
LARGEST_NUMBER = 1e37
#: Double precision holds every whole number up to this one.
LARGEST_INTEGER = 2**53


def broken_rules(contract: Contract) -> Iterator[str]:
    """Yield a sentence about each broken rule, in the order of the file."""
    yield from _names(contract)
    columns = {column.name: column for column in contract.columns}
    for column in columns.values():
        yield from _column(column)
    if sum(len(column.values) for column in columns.values() if isinstance(column, Category)) > MAX_ALL_VALUES:
        yield f"the categories have more than {MAX_ALL_VALUES:,} values together"
    if contract.label.positive == contract.label.negative:
        yield "the label's positive and negative value are the same"
    yield from _segments(contract, columns)
    for name in contract.carry:
        if isinstance(name, str) and name not in columns:
            yield f"carry names `{name}`, which is not a feature"
    if contract.charge is not None and not isinstance(columns.get(contract.charge), Number | Integer):
        yield f"charge names `{contract.charge}`, which is not a number"
    yield from _fields_of_prediction(contract)


def snake_case(name: str) -> str:
    """Return a name as it stands in JSON keys: `internet_service` for `InternetService` and `internet service`."""
    return re.sub(r"\W+", "_", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)).lower().strip("_")


def _names(contract: Contract) -> Iterator[str]:
    read = [contract.key.name, *(column.name for column in contract.columns), contract.time.name]
    for name, times in Counter([*read, contract.label.name]).items():
        if times > 1:
            yield f"`{name}` is the name of {times} columns"
        if name != name.strip():
            yield f"`{name}` begins or ends with white space"


def _column(column: Carried) -> Iterator[str]:
    name = column.name
    if column.nullable < column.optional:
        yield f"`{name}` is optional, so it must be nullable too"
    if isinstance(column, Category):
        yield from _category(column)
    elif isinstance(column, Number | Integer):
        yield from _number(column)


def _category(column: Category) -> Iterator[str]:
    repeated = [value for value, times in Counter(column.values).items() if times > 1]
    if repeated:
        yield f"`{column.name}` has a value twice"
    texts = [*column.values, *([column.other] if column.other is not None else [])]
    if column.nullable and not all(map(str.strip, texts)):
        yield f"`{column.name}` is nullable, so a blank cannot be one of its values"
    if column.nullable and "null" in map(str.lower, texts):
        yield f"`{column.name}` is nullable, so the text null cannot be one of its values"


def _number(column: Number | Integer) -> Iterator[str]:
    name, largest = column.name, LARGEST_NUMBER if isinstance(column, Number) else LARGEST_INTEGER
    # NaN is not below anything.
    if not column.minimum < column.maximum:
        yield f"`{name}` needs a minimum below its maximum"
    elif max(abs(column.minimum), abs(column.maximum)) > largest:
        yield f"`{name}` has a range beyond {largest:g}, which models cannot compute with"
    if column.fill is not None and not column.nullable:
        yield f"`{name}` has a fill, so it must be nullable"
    if column.fill is not None and not column.minimum <= column.fill <= column.maximum:
        yield f"`{name}` has a fill outside its range"


def _segments(contract: Contract, columns: dict[str, Carried]) -> Iterator[str]:
    combinations = 1
    for name in contract.segments:
        column = columns.get(name)
        if isinstance(column, Category):
            combinations *= len(column.values) + (column.other is not None) + column.nullable
        elif isinstance(column, Boolean):
            combinations *= 2 + column.nullable
        else:
            yield f"segments name `{name}`, which is neither a category nor a boolean"
    if combinations > MAX_COMBINATIONS:
        yield f"the segments have {combinations:,} combinations; {MAX_COMBINATIONS:,} are allowed"
    for key, times in Counter(map(snake_case, contract.segments)).items():
        if times > 1 or not key:
            yield f"the segments need different JSON keys: `by_{key}` stands for {times} of them"


def _fields_of_prediction(contract: Contract) -> Iterator[str]:
    fields = [contract.key.name, contract.label.probability, PREDICTION, contract.time.name]
    for name, times in Counter([*fields, PROCESSED_TS, MODEL_VERSION, *contract.repeated]).items():
        if times > 1:
            yield f"a prediction would have the field `{name}` twice"
