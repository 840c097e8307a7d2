"""What a source gives, and the two sources that need no parsing: flags and `telco-stream.toml`.

pydantic-settings' own sources decode text (`1e5`, `true`) and pass over misspelt names; the project's do neither.
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
from telco_stream.settings.properties import PROPERTY, canonical, why_refused
from telco_stream.settings.tree import FIELDS
from telco_stream.settings.validators import check_property_text, check_text

TOML = "telco-stream.toml"
#: The options that set a setting; where none is named here it is the last part of the setting's name.
FLAGS = {name: "--" + name.rpartition(".")[2].replace("_", "-") for name in FIELDS} | {
    "bootstrap_servers": "--broker",
    "topics.raw": "--topic",
    "consumer.group_id": "--group",
    "model.path": "--model",
    "metrics.host": "--metrics-host",
}


@dataclass(frozen=True, slots=True)
class SettingValue:
    """A value as given, its origin for `config show`, and the name by which complaints call it."""

    value: object
    origin: str
    label: str


#: What one source gives, by dotted name; a property's is `kafka.` and its own name.
Layer: TypeAlias = dict[str, SettingValue]


class LayerSource(PydanticBaseSettingsSource):
    """A layer in the form that pydantic-settings takes."""

    def __init__(self, settings_cls: type[BaseSettings], layer: Layer) -> None:
        super().__init__(settings_cls)
        self._tree = _nest(layer)

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:  # noqa: ARG002 - theirs
        """The field's value, verbatim."""
        return self._tree.get(field_name), field_name, False

    def __call__(self) -> dict[str, Any]:
        """All that the layer gives."""
        return self._tree


def read_flags(flags: Mapping[str, object]) -> Layer:
    """What the command line gives, by dotted name; None is not given, an unknown name is a bug: KeyError."""
    given = {name: value for name, value in flags.items() if value is not None}
    return {name: SettingValue(value, "flag", FLAGS[name]) for name, value in given.items()}


def read_toml(cwd: Path) -> Layer:
    """The keys of `telco-stream.toml` in the working directory; raises `UsageError` for one that is no setting."""
    try:
        tables = tomllib.loads(read_text(cwd / TOML))
    except tomllib.TOMLDecodeError as error:
        raise setting_error(TOML, f"this is not TOML: {error}") from None
    layer: Layer = {}
    for name, value in _flatten(tables):
        label = f"{name} in {TOML}"
        _check_key(name, label)
        add(layer, name, SettingValue(_as_text(value, label), TOML, label))
    return layer


def add(layer: Layer, name: str, reading: SettingValue) -> None:
    """Put a reading in; raises `UsageError` where the layer has one for the same setting, by whatever spelling."""
    for other in layer:
        if _identity(other) == _identity(name):
            raise setting_error(reading.label, f"{layer[other].label} sets the same; keep one of them")
    _check(name, reading)
    layer[name] = reading


def without_shadowed(layers: Iterable[Layer]) -> Iterator[Layer]:
    """The layers, highest first, each without what a higher one gives, be it under an alias."""
    taken: set[str] = set()
    for layer in layers:
        yield {name: reading for name, reading in layer.items() if _identity(name) not in taken}
        taken |= {_identity(name) for name in layer}


def check_property(name: str, label: str) -> None:
    """Raises `UsageError` unless the property can be passed through."""
    if not PROPERTY.fullmatch(name):
        raise setting_error(label, "this names no property of librdkafka")
    if reason := why_refused(name):
        raise setting_error(label, f"{name} can't be set here: {reason}")


def unknown(label: str, name: str, known: Iterable[str]) -> UsageError:
    """The error for a name that is no setting, with the nearest that is one."""
    close = difflib.get_close_matches(name, known, n=1)
    return setting_error(label, "there is no such setting" + (f"; did you mean {close[0]}?" if close else ""))


def setting_error(label: str, reason: str) -> UsageError:
    """The error, in one line whatever the name holds."""
    return UsageError(" ".join(f"{label}: {reason}".split()))


def read_text(path: Path) -> str:
    """A file's text, empty where there is no such file; raises `UsageError`."""
    try:
        return path.read_text("utf-8-sig")
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        raise setting_error(str(path), why_unreadable(error)) from None


def why_unreadable(error: Exception) -> str:
    """Why a file can't be read, without a byte of it."""
    return f"can't be read: {(isinstance(error, OSError) and error.strerror) or 'it is not UTF-8 text'}"


def _check(name: str, reading: SettingValue) -> None:
    """What a tree's own checks can't see, or would complain of in the words of its library."""
    try:
        text = check_text(str(reading.value))
        if name.startswith("kafka."):
            check_property_text(name.removeprefix("kafka."), text)
    except ValueError as error:
        raise setting_error(reading.label, str(error)) from None


def _nest(layer: Layer) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for name, reading in layer.items():
        group, dot, rest = name.partition(".")
        if dot:
            tree.setdefault(group, {})[rest] = reading.value
        else:
            tree[name] = reading.value
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
        raise unknown(label, name, FIELDS)


def _identity(name: str) -> str:
    """One name for what may be spelt in two ways."""
    group, _, rest = name.partition(".")
    return f"kafka.{canonical(rest)}" if group == "kafka" else name


def _as_text(value: object, label: str) -> str:
    """A value as it would stand in a variable, so that all sources mean the same."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str | int | float):
        return str(value)
    raise setting_error(label, "write text, a number, true or false")
