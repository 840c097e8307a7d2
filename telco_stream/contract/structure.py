"""Finds the values of a file that are missing, unknown or of a wrong type, and describes them all.

msgspec, which decodes contracts, stops at the first of them. Both follow the types in `schema`.
"""

import json
import math
import re
from collections.abc import Iterator, Mapping, Sized
from difflib import get_close_matches

from msgspec import inspect

from telco_stream.contract.faults import Fault, Path, format_path
from telco_stream.contract.schema import Contract

_CONTRACT = inspect.type_info(Contract)
#: Characters of a text that are quoted.
_QUOTED = 40
#: Number up to which all digits are quoted.
_LARGEST = 1e300
#: Unknown keys of an object for which similar keys are searched, which takes time.
_MAX_SUGGESTIONS = 20


def structure_faults(document: object) -> Iterator[Fault]:
    """Yield a fault for each value of a parsed file that a contract cannot have, in the order of the file."""
    if isinstance(document, dict) and "contract" not in document:
        advice = "`telco-stream contract infer` writes one from a CSV file"
        yield Fault((), f"the key `contract` is missing, so this is not a contract; {advice}")
    else:
        yield from _check(document, _CONTRACT, (), 0)


def _check(value: object, kind: inspect.Type, path: Path, depth: int, expected: str = "") -> Iterator[Fault]:
    """Yield the faults of a value. The first `depth` steps of the path lead to its object, which errors name."""
    match kind:
        case inspect.Metadata():
            yield from _check(value, kind.type, path, depth, (kind.extra or {}).get("expected", expected))
        case inspect.UnionType():
            yield from _check_union(value, kind, path, depth)
        case inspect.StructType() if isinstance(value, dict):
            yield from _check_object(value, kind, path)
        case inspect.VarTupleType() if isinstance(value, list) and _has_length(value, kind):
            yield from _check_items(value, kind.item_type, path, depth)
        case _ if not _is_valid(value, kind):
            text = f"{_name(path, depth)} is {_describe(value)}; it must be {expected or _expected(kind)}"
            yield Fault(path, text)


def _check_object(fields: Mapping[str, object], kind: inspect.StructType, path: Path) -> Iterator[Fault]:
    known = {field.encode_name: field for field in kind.fields}
    keys = {*known, *([kind.tag_field] if kind.tag_field else [])}
    where = f"{format_path(path)}: " if path else ""
    hint = f"known are {', '.join(sorted(keys))}"
    has_few_unknown = sum(key not in keys for key in fields) <= _MAX_SUGGESTIONS
    for name, field in known.items():
        if field.required and name not in fields:
            yield Fault(path, f"{where}`{name}` is missing")
    for name, value in fields.items():
        if name in known:
            yield from _check(value, known[name].type, (*path, name), len(path))
        elif name not in keys:
            similar = get_close_matches(name, keys, n=1) if has_few_unknown else []
            advice = f"did you mean `{similar[0]}`?" if similar else hint
            yield Fault((*path, name), f"{where}`{_shorten(name)}` is not a key here; {advice}")


def _check_items(items: list[object], kind: inspect.Type, path: Path, depth: int) -> Iterator[Fault]:
    """Check the items of a list; of texts only the first fault, because the others are the same."""
    for index, item in enumerate(items):
        faults = list(_check(item, kind, (*path, index), depth))
        yield from faults
        if faults and not isinstance(kind, inspect.UnionType):
            return


def _check_union(value: object, kind: inspect.UnionType, path: Path, depth: int) -> Iterator[Fault]:
    """Check against the member of the union for which the value is meant."""
    structs = {option.tag: option for option in kind.types if isinstance(option, inspect.StructType)}
    others = [option for option in kind.types if not isinstance(option, inspect.StructType | inspect.NoneType)]
    if value is None and any(isinstance(option, inspect.NoneType) for option in kind.types):
        return
    if isinstance(value, dict) and structs:
        tag = value.get("kind")
        if isinstance(tag, str) and tag in structs:
            yield from _check_object(value, structs[tag], path)
            return
        said = f"is {_describe(tag)}; it" if "kind" in value else "is missing; it"
        at = (*path, "kind") if "kind" in value else path
        kinds = ", ".join(map(str, structs))
        yield Fault(at, f"{format_path(path)}: `kind` {said} must be one of {kinds}")
    elif others and (isinstance(value, str) or not structs):
        yield from _check(value, others[0], path, depth)
    else:
        expected = f"{'a name or ' if others else ''}an object"
        yield Fault(path, f"{_name(path, depth)} is {_describe(value)}; it must be {expected}")


def _has_length(items: Sized, kind: inspect.VarTupleType | inspect.StrType) -> bool:
    return (kind.min_length or 0) <= len(items) <= (kind.max_length or math.inf)


def _is_valid(value: object, kind: inspect.Type) -> bool:
    match kind:
        case inspect.StrType():
            return isinstance(value, str) and _has_length(value, kind) and bool(re.search(kind.pattern or "", value))
        case inspect.BoolType():
            return isinstance(value, bool)
        case inspect.IntType():
            return isinstance(value, int) and not isinstance(value, bool) and _is_in_range(value, kind)
        case inspect.FloatType():
            return isinstance(value, int | float) and not isinstance(value, bool) and _is_in_range(value, kind)
        case inspect.LiteralType():
            return any(value == allowed and type(value) is type(allowed) for allowed in kind.values)
    return False


def _is_in_range(value: float, kind: inspect.IntType | inspect.FloatType) -> bool:
    return (-math.inf if kind.ge is None else kind.ge) <= value <= (math.inf if kind.le is None else kind.le)


def _expected(kind: inspect.Type) -> str:
    """Return a description of the values of a type, for errors about types without a description."""
    match kind:
        case inspect.StrType():
            return f"a text of at most {kind.max_length:,} characters" if kind.max_length else "a text"
        case inspect.BoolType():
            return "true or false"
        case inspect.IntType():
            return f"a whole number from {kind.ge:,} to {kind.le:,}"
        case inspect.LiteralType():
            return " or ".join(map(str, kind.values))
        case inspect.VarTupleType():
            return f"a list of {kind.min_length or 0} to {kind.max_length:,} items"
    return "an object"


def _describe(value: object) -> str:
    match value:
        case str():
            return f"{_shorten(value)!r}" + (f" ({len(value):,} characters)" if len(value) > _QUOTED else "")
        case list():
            return f"a list of {len(value):,} items"
        case dict():
            return "an object"
        case int() | float() if abs(value) > _LARGEST:
            return "too large a number"
    return json.dumps(value)


def _name(path: Path, depth: int) -> str:
    where = f"{format_path(path[:depth])}: " if depth else ""
    return f"{where}`{format_path(path[depth:])}`" if path else "the file"


def _shorten(text: str) -> str:
    return text if len(text) <= _QUOTED else f"{text[:_QUOTED]}…"
