"""Results as JSON: one line each, keys in the order of the result's fields."""

import json
import math
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from telco_stream.display.text import OF_ONE_MODE
from telco_stream.report import Report


def as_json(result: object) -> str:
    """One line of JSON in ASCII, so that no terminal and no encoding can trip over it; not a number becomes null."""
    return json.dumps(_plain(result), allow_nan=False)


def _plain(value: Any) -> Any:  # noqa: ANN401 - any result's field
    if isinstance(value, Report):
        return _plain(value.summary)
    if is_dataclass(value):
        pairs = ((field.name, getattr(value, field.name)) for field in fields(value))
        return {name: _plain(one) for name, one in pairs if one is not None or name not in OF_ONE_MODE}
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if isinstance(value, (str, int, float, bool)) or value is None else str(value)
