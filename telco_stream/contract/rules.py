"""Rules of a contract that its types cannot express; each broken one is a sentence about the file."""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator

from telco_stream.contract.faults import Fault, Path, format_path
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
#: Characters of a value that an error quotes.
_QUOTED = 40


def broken_rules(contract: Contract) -> Iterator[Fault]:
    """Yield a fault for each broken rule."""
    columns = _columns(contract)
    yield from _names(contract, columns)
    for path, column in columns:
        yield from (Fault(path, f"{format_path(path)}: `{column.name}` {text}") for text in _column(column, contract))
    if sum(len(column.values) for _, column in columns if isinstance(column, Category)) > MAX_ALL_VALUES:
        yield Fault(("features",), f"the categories have more than {MAX_ALL_VALUES:,} values together")
    if contract.label.positive == contract.label.negative:
        yield Fault(("label",), "label: `positive` and `negative` are the same")
    if not (contract.label.positive.strip() and contract.label.negative.strip()):
        yield Fault(("label",), "label: `positive` and `negative` must not be blank")
    if len({column.name for _, column in columns}) == len(columns):  # otherwise, names can mean several columns
        yield from _references(contract)
        yield from _segments(contract)
        yield from _fields_of_prediction(contract)


def hints(contract: Contract) -> Iterator[str]:
    """Yield a sentence about each thing that is allowed but is probably a mistake."""
    names = {column.name for column in contract.columns} | {contract.key.name, contract.time.name, contract.label.name}
    looks = Counter(unicodedata.normalize("NFKC", name) for name in names)
    yield from (f"{times} columns have names that look like `{name}`" for name, times in looks.items() if times > 1)
    if contract.missing and not any(column.nullable for column in contract.columns):
        yield "`missing` has no effect, because no column is `nullable`"


def snake_case(name: str) -> str:
    """Return a name as in JSON keys: `home_owner` for `HomeOwner` and `home owner`."""
    return re.sub(r"\W+", "_", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)).lower().strip("_")


def _columns(contract: Contract) -> list[tuple[Path, Carried]]:
    """Return the columns with their paths in the file."""
    items = [*((("features", index), item) for index, item in enumerate(contract.features))]
    carried = [(("carry", index), item) for index, item in enumerate(contract.carry) if not isinstance(item, str)]
    return [*items, *carried]


def _names(contract: Contract, columns: Iterable[tuple[Path, Carried]]) -> Iterator[Fault]:
    key, time, label = contract.key, contract.time, contract.label
    read = [(("key", "name"), key.name), *(((*path, "name"), column.name) for path, column in columns)]
    named = [*read, (("time", "name"), time.name), (("label", "name"), label.name)]
    yield from _repeated(named, "is the name of two columns")
    for path, name in [*named, (("label", "probability"), label.probability)]:
        if name != name.strip():
            yield Fault(path, f"{format_path(path)}: `{name}` begins or ends with white space")


def _column(column: Carried, contract: Contract) -> Iterator[str]:
    if column.optional and not column.nullable:
        yield "is `optional`, so it must be `nullable` too"
    if isinstance(column, Category):
        yield from _category(column, contract)
    elif isinstance(column, Number | Integer):
        yield from _number(column)


def _category(column: Category, contract: Contract) -> Iterator[str]:
    repeated = next((value for value, times in Counter(column.values).items() if times > 1), None)
    if repeated is not None:
        yield f"has the value {repeated[:_QUOTED]!r} twice"
    if not column.nullable:
        return
    texts = [*column.values, *([column.other] if column.other is not None else [])]
    if not all(map(str.strip, texts)):
        yield "is `nullable`, so a blank cannot be one of its values: it means null"
    if "null" in map(str.lower, texts):
        yield "is `nullable`, so the text null cannot be one of its values: it means null"
    if both := set(contract.missing) & set(texts):
        yield f"is `nullable` and has the value {min(both)!r}, which `missing` turns into null: remove one of them"


def _number(column: Number | Integer) -> Iterator[str]:
    if not column.minimum < column.maximum:
        yield "needs a `minimum` below its `maximum`"
    if column.fill is not None and not column.nullable:
        yield "has a `fill`, so it must be `nullable`"
    if column.fill is not None and not column.minimum <= column.fill <= column.maximum:
        yield "has a `fill` outside its range"


def _references(contract: Contract) -> Iterator[Fault]:
    """Check the names of columns in `carry` and `charge`."""
    columns = {column.name: column for column in contract.columns}
    features = {feature.name for feature in contract.features}
    names = [(("carry", index), item) for index, item in enumerate(contract.carry) if isinstance(item, str)]
    for path, name in names:
        if name not in features:
            yield Fault(path, f"{format_path(path)}: no feature is named `{name}`")
    yield from _repeated(names, "is there twice")
    if contract.charge is not None and not isinstance(columns.get(contract.charge), Number | Integer):
        yield Fault(("charge",), f"charge: no number is named `{contract.charge}`")


def _segments(contract: Contract) -> Iterator[Fault]:
    columns = {column.name: column for column in contract.columns}
    combinations, keys = 1, []
    for index, name in enumerate(contract.segments):
        path: Path = ("segments", index)
        column = columns.get(name)
        if isinstance(column, Category):
            combinations *= len({*column.values, column.other} - {None}) + column.nullable
        elif isinstance(column, Boolean):
            combinations *= 2 + column.nullable
        else:
            yield Fault(path, f"{format_path(path)}: no category or boolean is named `{name}`")
        keys.append((path, f"by_{snake_case(name)}"))
    if combinations > MAX_COMBINATIONS:
        text = f"segments: they have {combinations:,} combinations; at most {MAX_COMBINATIONS:,} can be counted"
        yield Fault(("segments",), text)
    yield from _repeated(keys, "would be the key of two segments in reports")
    yield from (Fault(path, f"{format_path(path)}: needs a letter or digit") for path, key in keys if key == "by_")


def _fields_of_prediction(contract: Contract) -> Iterator[Fault]:
    fields: list[tuple[Path, str]] = [((), PREDICTION), ((), PROCESSED_TS), ((), MODEL_VERSION)]
    fields += [(("key", "name"), contract.key.name), (("time", "name"), contract.time.name)]
    fields.append((("label",), contract.label.probability))
    seen = dict.fromkeys(contract.segments)
    fields += [(("segments", index), name) for index, name in enumerate(seen)]
    for index, item in enumerate(contract.carry):
        name = item if isinstance(item, str) else item.name
        if name not in seen:
            seen[name] = None
            fields.append((("carry", index), name))
    yield from _repeated(fields, "would be a field of predictions twice")


def _repeated(named: Iterable[tuple[Path, str]], problem: str) -> Iterator[Fault]:
    """Yield a fault for each name that an earlier path has too."""
    seen: set[str] = set()
    for path, name in named:
        if name in seen:
            yield Fault(path, f"{format_path(path)}: `{name}` {problem}")
        seen.add(name)
