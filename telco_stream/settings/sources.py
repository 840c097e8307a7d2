"""Sources for pydantic-settings, and two of them: flags and `telco-stream.toml`.

The sources of pydantic-settings decode text such as `1e5` and `true` and ignore misspelt names; these do neither.
"""

import difflib
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

from telco_stream.errors import UsageError
from telco_stream.settings.properties import PROPERTY, canonical_name, refusal_reason
from telco_stream.settings.tree import FIELDS
from telco_stream.settings.validators import check_property_text, check_text

TOML = "telco-stream.toml"
#: The flag of each setting: the last part of its name, with these exceptions.
FLAGS = {name: "--" + name.rpartition(".")[2].replace("_", "-") for name in FIELDS} | {
    "bootstrap_servers": "--broker",
    "topics.raw": "--topic",
    "consumer.group_id": "--group",
    "model.path": "--model",
    "metrics.host": "--metrics-host",
}


@dataclass(frozen=True, slots=True)
class SettingValue:
    """A value as given, its origin for `config show`, and its name for error messages."""

    value: object
    origin: str
    label: str


#: Values of one source by dotted name; the name of a librdkafka property follows `kafka.`.
Layer: TypeAlias = dict[str, SettingValue]


class LayerSource(PydanticBaseSettingsSource):
    """A source with the values of a layer that no higher layer sets, under the same name or an alias.

    Adds these values to `resolved`, which the sources share; create the highest source first.
    """

    def __init__(self, settings_cls: type[BaseSettings], layer: Layer, resolved: Layer) -> None:
        super().__init__(settings_cls)
        taken = {_identity(name) for name in resolved}
        added = {name: value for name, value in layer.items() if _identity(name) not in taken}
        resolved.update(added)
        self._tree = _nest(added)

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:  # noqa: ARG002 - pydantic-settings passes it
        """Return the value of a top-level field, verbatim."""
        return self._tree.get(field_name), field_name, False

    def __call__(self) -> dict[str, Any]:
        """Return the nested values."""
        return self._tree


def read_flags(flags: Mapping[str, object]) -> Layer:
    """Read flags by dotted name; None is a flag that is not given. Raises KeyError for an unknown name, a bug."""
    values = {name: value for name, value in flags.items() if value is not None}
    return {name: SettingValue(value, "flag", FLAGS[name]) for name, value in values.items()}


def read_toml(cwd: Path) -> Layer:
    """Read `telco-stream.toml` in the working directory; raises `UsageError` for unknown settings."""
    try:
        tables = tomllib.loads(read_text(cwd / TOML))
    except tomllib.TOMLDecodeError as error:
        raise setting_error(TOML, f"not valid TOML: {error}") from None
    layer: Layer = {}
    for name, value in _flatten(tables):
        label = f"{name} in {TOML}"
        _check_key(name, label)
        add_value(layer, name, SettingValue(_as_text(value, label), TOML, label))
    return layer


def add_value(layer: Layer, name: str, value: SettingValue) -> None:
    """Check a value and add it; raises `UsageError` if the layer already sets it, under any spelling."""
    for other in layer:
        if _identity(other) == _identity(name):
            raise setting_error(value.label, f"also set by {layer[other].label}; remove one of them")
    _check_text(name, value)
    layer[name] = value


def check_property(name: str, label: str) -> None:
    """Raise `UsageError` if users cannot set the property."""
    if not PROPERTY.fullmatch(name):
        raise setting_error(label, "not the name of a librdkafka property")
    if reason := refusal_reason(name):
        raise setting_error(label, f"{name} can't be set here: {reason}")


def unknown_setting(label: str, name: str, known: Iterable[str]) -> UsageError:
    """Return the error for an unknown setting, with the most similar known one."""
    close = difflib.get_close_matches(name, known, n=1)
    return setting_error(label, "unknown setting" + (f"; did you mean {close[0]}?" if close else ""))


def setting_error(label: str, reason: str) -> UsageError:
    """Return the error as one line, even if the label has line breaks."""
    return UsageError(" ".join(f"{label}: {reason}".split()))


def read_text(path: Path) -> str:
    """Read a text file; return empty text if it does not exist. Raises `UsageError`."""
    try:
        return path.read_text("utf-8-sig")
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        raise setting_error(str(path), describe_read_error(error)) from None


def describe_read_error(error: Exception) -> str:
    """Describe why a file cannot be read, without showing its content."""
    return f"can't be read: {(isinstance(error, OSError) and error.strerror) or 'not UTF-8 text'}"


def _check_text(name: str, value: SettingValue) -> None:
    """Raise `UsageError` for text that pydantic would accept, or reject with an unclear message."""
    try:
        text = check_text(str(value.value))
        if name.startswith("kafka."):
            check_property_text(name.removeprefix("kafka."), text)
    except ValueError as error:
        raise setting_error(value.label, str(error)) from None


def _nest(layer: Layer) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for name, value in layer.items():
        group, dot, rest = name.partition(".")
        if dot:
            tree.setdefault(group, {})[rest] = value.value
        else:
            tree[name] = value.value
    return tree


def _flatten(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, object]]:
    for key, value in table.items():
        if isinstance(value, dict):
            yield from _flatten(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def _check_key(name: str, label: str) -> None:
    if name.startswith("kafka."):
        check_property(name.removeprefix("kafka."), label)
    elif name not in FIELDS:
        raise unknown_setting(label, name, FIELDS)


def _identity(name: str) -> str:
    """Return the name of a setting, or of the property behind an alias."""
    group, _, rest = name.partition(".")
    return f"kafka.{canonical_name(rest)}" if group == "kafka" else name


def _as_text(value: object, label: str) -> str:
    """Convert a TOML value to text as in a variable, so that all sources give the same types."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str | int | float):
        return str(value)
    raise setting_error(label, "use text, a number, true or false")
