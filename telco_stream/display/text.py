"""Results and their fields as text: for people, without control characters, and as lines of JSON."""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any, TypeGuard

from rich.text import Text

from telco_stream.contract.document import encode_contract
from telco_stream.contract.rules import snake_case
from telco_stream.contract.schema import Contract
from telco_stream.report.analytics import Summary
from telco_stream.report.lookup import FoundPrediction, Lookup
from telco_stream.runtime.humanize import count_of, escape_unprintable, format_count, format_percent, format_time

#: Numbers without thousands separators, so that they can be copied into a command.
_IDENTIFIERS = frozenset({"partition", "offset", "end_offsets", "port", "seed"})
#: Names with capitals, and labels that say more than the field's name.
_WORDS = {"sha256": "SHA-256", "roc": "ROC", "auc": "AUC", "onnx": "ONNX", "id": "ID", "url": "URL"}
_LABELS = {
    "roc_auc_sd": "ROC AUC, std. deviation",
    "brier": "Brier score",
    "onnx": "Compiled model (ONNX), compared with the pipeline",
    "refused": "Refused because",
    "unanswered": "Not answered yet",
    "artifacts": "Files and their SHA-256",
    "churners": "Positive labels",
    "churn_rate": "Positive rate",
    "candidates": "Models tried",
    "replaced": "Replaced model",
}
#: Characters of a time up to its seconds.
TIME_WIDTH = 19
#: Fields that a result has in some modes or with some options; they are left out when empty, others are null or "-".
_OPTIONAL_FIELDS = frozenset(
    {"analytics", "contact_plan", "drift", "lift", "previous", "reasons", "rejected_value", "replaced"}
)


def result_fields(result: Any) -> dict[str, Any]:  # noqa: ANN401 - any dataclass or mapping
    """Return the fields to show by name, in order; their values are not converted."""
    if isinstance(result, Mapping):
        return {str(key): value for key, value in result.items()}
    values = {field.name: getattr(result, field.name) for field in fields(result)}
    if isinstance(result, Summary):
        values = _summary_fields(result, values)
    elif isinstance(result, FoundPrediction):
        return _found_fields(result)
    return {name: value for name, value in values.items() if value is not None or name not in _OPTIONAL_FIELDS}


def _found_fields(found: FoundPrediction) -> dict[str, Any]:
    """Return position, message and source; a column that is named like one of them becomes `column.source`."""
    position = {"partition": found.partition, "offset": found.offset}
    taken = {*position, "source"}
    message = {f"column.{name}" if name in taken else name: value for name, value in found.message.items()}
    return {**position, **message, "source": found.source}


def _summary_fields(summary: Summary, values: dict[str, Any]) -> dict[str, Any]:
    """Return the fields with the names of the contract: `by_` and each segment, and the keys at the top."""
    contract = values.pop("contract")
    named: dict[str, Any] = {}
    for name, value in values.items():
        if name == "by":
            named |= {f"by_{snake_case(column)}": groups for column, groups in summary.by.items()}
        elif name == "top":
            key, probability = contract.key.name, contract.label.probability
            named[name] = [
                {key: top.key, probability: top.probability, **top.segments}
                | ({"main_reason": top.main_reason} if top.main_reason else {})
                for top in summary.top
            ]
        else:
            named[name] = value
    return named


def as_json(result: object) -> str:
    """Encode a result as one line of ASCII, which every terminal and encoding can show; NaN becomes null."""
    return json.dumps(_to_plain(result), allow_nan=False)


def contract_file(contract: Contract, encoding: str | None) -> str:
    """Return the file of a contract, with JSON's escapes for characters that the encoding lacks."""
    text = encode_contract(contract).decode()
    try:
        text.encode(encoding or "utf-8")
    except UnicodeEncodeError:
        return re.sub(r"[^\x00-\x7f]", lambda char: json.dumps(char[0])[1:-1], text)
    return text


def safe_text(text: str, style: str = "") -> Text:
    """Return the text for rich without interpreting markup or escape codes in it."""
    return Text(escape_unprintable(text), style)


def format_timestamp(timestamp: str) -> str:
    """Return date and time to the second of a timestamp in UTC."""
    return timestamp[:TIME_WIDTH].replace("T", " ")


def humanize(name: str) -> str:
    """Convert a field's name to a heading: `dead_lettered` becomes `Dead lettered`."""
    words = name.removesuffix("_seconds").split("_")  # the value has its unit
    heading = " ".join(_WORDS.get(word, word) for word in words)
    return _LABELS.get(name, heading[:1].upper() + heading[1:])


def format_value(name: str, value: Any) -> str:  # noqa: ANN401 - any result's field
    """Format a field's value by the field's name and the value's type."""
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {format_value(name, item)}" for key, item in value.items()) or "-"
    if isinstance(value, (list, tuple)):
        return ", ".join(format_value(name, item) for item in value) or "-"
    if is_number(value):
        return _format_number(name, value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "-" if value is None else escape_unprintable(str(value))


def describe_lookup(lookup: Lookup) -> str:
    """Return a sentence about how far the search for predictions went, and what to do if that was not far enough."""
    scope = "all" if lookup.is_complete else "the newest"
    since = f", back to {format_time(lookup.since)} UTC" if lookup.since else ""
    searched = f"Searched {scope} {count_of(lookup.records, 'record')} of the topic{since}"
    if not lookup.predictions:
        if lookup.unreadable:
            others = f"{count_of(lookup.unreadable, 'value')} with this key"
            which = "is not a prediction" if lookup.unreadable == 1 else "are not predictions"
            return f"{others} {which} of this contract; --model names the model that made them. {searched}."
        dead_letters = "its records may be dead letters: telco-stream dlq list --customer ID"
        advice = dead_letters if lookup.is_complete else "--records 0 searches all of them"
        return f"No prediction of this {lookup.entity} was found. {searched}; {advice}."
    if lookup.is_limited:
        return f"{searched}; a higher --limit lists older predictions."
    return f"{searched}." if lookup.is_complete else f"{searched}; --records 0 searches all of them."


def is_number(value: object) -> TypeGuard[float]:
    """Return whether a value is a number; booleans are not."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _to_plain(value: Any) -> Any:  # noqa: ANN401 - any result's field
    if is_dataclass(value) or isinstance(value, Mapping):
        return {name: _to_plain(item) for name, item in result_fields(value).items()}
    if isinstance(value, (list, tuple)):
        return [_to_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if isinstance(value, (str, int, float, bool)) or value is None else str(value)


def _format_number(name: str, value: float) -> str:
    if name.endswith("churn_rate"):
        return format_percent(value)
    if name == "rate":
        return f"{value:,.1f}/s"
    if name.endswith("seconds"):
        return f"{value:,.2f} s"
    if isinstance(value, int):
        return str(value) if name in _IDENTIFIERS else format_count(value)
    return f"{value:,.4g}" if abs(value) < 1 else f"{value:,.2f}"
