"""Results as JSON: one line each, with the keys in the order of the result's fields."""

import json
import math
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from telco_stream.display.text import OPTIONAL_FIELDS
from telco_stream.report.predictions import Report


def as_json(result: object) -> str:
    """Encode a result as one line of ASCII, which every terminal and encoding can show; NaN becomes null."""
    return json.dumps(_to_plain(result), allow_nan=False)


def _to_plain(value: Any) -> Any:  # noqa: ANN401 - any result's field
    if isinstance(value, Report):
        return _to_plain(value.summary)
    if is_dataclass(value):
        pairs = ((field.name, getattr(value, field.name)) for field in fields(value))
        return {name: _to_plain(item) for name, item in pairs if item is not None or name not in OPTIONAL_FIELDS}
    if isinstance(value, Mapping):
        return {str(key): _to_plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_to_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if isinstance(value, (str, int, float, bool)) or value is None else str(value)
