"""The sources of settings: flags, the environment, `.env` and `telco-stream.toml`.

The sources of pydantic-settings decode text such as `1e5` and `true` and ignore misspelt names; these do neither.
"""

import difflib
import io
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from dotenv.parser import parse_stream
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

from telco_stream.errors import UsageError
from telco_stream.runtime.choices import ONLY_FLAGS, PREFIX, variable_of
from telco_stream.settings.properties import canonical_name, check_property_text, refusal_reason
from telco_stream.settings.tree import FIELDS

TOML = "telco-stream.toml"
DOTENV = ".env"
_KAFKA = PREFIX + "KAFKA__"
_FILE = "_FILE"
#: Not settings: variables that Kubernetes sets for a service named telco-stream, and those of the test suite.
_IGNORED = tuple(PREFIX + name for name in ("PORT", "SERVICE_", "TEST_"))
#: Similarity from which a name is a misspelt option.
_NEARLY_EQUAL = 0.9
#: A variable in a message.
_VARIABLE = re.compile(rf"\b{PREFIX}(\w+)")
#: The flag of each setting: the last part of its name, with these exceptions.
FLAGS = {name: "--" + name.rpartition(".")[2].replace("_", "-") for name in FIELDS} | {
    "bootstrap_servers": "--broker",
    "topics.raw": "--topic",
    "consumer.max_poll_records": "--batch-size",
    "consumer.window_size": "--batch-size",
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
        taken = set(map(_identity, resolved))
        added = {name: value for name, value in layer.items() if _identity(name) not in taken}
        resolved.update(added)
        self._tree = _nest(added)

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:  # noqa: ARG002 - pydantic-settings passes it
        """Return the value of a top-level field, verbatim."""
        return self._tree.get(field_name), field_name, False

    def __call__(self) -> dict[str, Any]:
        """Return the nested values."""
        return self._tree


_NAMES = {variable_of(name): name for name in FIELDS}


def read_flags(flags: Mapping[str, object]) -> Layer:
    """Read flags by dotted name, paths as text; None is a flag that is not given.

    Raises KeyError for an unknown name, a bug.
    """
    values = {name: str(value) if isinstance(value, Path) else value for name, value in flags.items()}
    return {name: SettingValue(value, "flag", FLAGS[name]) for name, value in values.items() if value is not None}


def read_environment(environ: Mapping[str, str], cwd: Path, source: str = "environment") -> Layer:
    """Read variables with the prefix in any case, and the files that `…_FILE` variables name.

    Raises `UsageError` for unknown and repeated settings.
    """
    layer: Layer = {}
    for variable, text in environ.items():
        upper = variable.upper()
        if not upper.startswith(PREFIX) or upper.startswith(_IGNORED):
            continue
        label = variable if source == "environment" else f"{variable} in {source}"
        name, is_file = _setting_of(upper, label)
        if is_file:
            value = SettingValue(_read_secret(cwd / text, label), f"file {cwd / text} ({variable})", label)
        else:
            value = SettingValue(text, f"{source} {variable}", label)
        _add_value(layer, name, value)
    return layer


def read_dotenv(cwd: Path) -> Layer:
    """Read `.env` in the working directory. Values are not expanded; the last line of a variable counts."""
    variables: dict[str, str] = {}
    for binding in parse_stream(io.StringIO(_read_text(cwd / DOTENV))):
        lacks_value = binding.value is None and (binding.key or "").upper().startswith(PREFIX)
        if binding.error or lacks_value:
            raise setting_error(f"{DOTENV}, line {binding.original.line}", "use NAME=value, and close all quotes")
        if binding.key and binding.value is not None:
            variables[binding.key] = binding.value
    return read_environment(variables, cwd, DOTENV)


def read_toml(cwd: Path) -> Layer:
    """Read `telco-stream.toml` in the working directory; raises `UsageError` for unknown settings."""
    text = _read_text(cwd / TOML)
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        key = _key_of_error(text, str(error))
        raise setting_error(f"{key} in {TOML}" if key else TOML, f"not valid TOML: {error}") from None
    layer: Layer = {}
    for name, value in _flatten(tables):
        label = f"{name} in {TOML}"
        if name.startswith("kafka."):
            _check_property(name.removeprefix("kafka."), label, in_toml=True)
        elif name not in FIELDS:
            raise _unknown_setting(label, name_toml_keys(name), dict(zip(FIELDS, FIELDS, strict=True)))
        _add_value(layer, name, SettingValue(_as_text(value, label), TOML, label))
    return layer


def setting_error(label: str, reason: str) -> UsageError:
    """Return the error as one line, even if the label has line breaks."""
    return UsageError(" ".join(f"{label}: {reason}".split()))


def name_toml_keys(message: str) -> str:
    """Replace the variables in a message by the keys of `telco-stream.toml`."""
    return _VARIABLE.sub(lambda match: match[1].lower().replace("__", "."), message)


def _key_of_error(text: str, message: str) -> str | None:
    """Return the key in the line that an error of the TOML parser names, if it has one."""
    line = re.search(r"at line (\d+)", message)
    key = line and re.match(r"\s*([\w.-]+)\s*=", text.splitlines()[int(line[1]) - 1], re.ASCII)
    return key[1] if key else None


def _unknown_setting(label: str, name: str, names: Mapping[str, str]) -> UsageError:
    """Return the error for an unknown setting, with the option or the setting that is meant.

    `names` has the settings as the source writes them, by dotted name.
    """
    short = name.removeprefix(PREFIX)
    flag = "--" + re.split(r"__|\.", short)[-1].lower().replace("_", "-")
    if options := difflib.get_close_matches(flag, ONLY_FLAGS, n=1, cutoff=_NEARLY_EQUAL):
        values = "|".join(ONLY_FLAGS[options[0]])
        return setting_error(label, f"not a setting; use the option {options[0]} {values}")
    similar = {other.removeprefix(PREFIX): other for other in names.values()}
    similar |= {f"{other}{_FILE}": setting for other, setting in similar.items()}
    close = [similar[other] for other in difflib.get_close_matches(short, similar, n=1)]
    meant = [names[setting] for setting, of_setting in FLAGS.items() if of_setting == flag] or close
    return setting_error(label, "unknown setting" + (f"; did you mean {' or '.join(meant)}?" if meant else ""))


def _add_value(layer: Layer, name: str, value: SettingValue) -> None:
    """Check a value and add it; raises `UsageError` if the layer already sets it, under any spelling."""
    for other in layer:
        if _identity(other) == _identity(name):
            raise setting_error(value.label, f"also set by {layer[other].label}; remove one of them")
    try:
        _check_text(name, str(value.value))
    except ValueError as error:
        raise setting_error(value.label, str(error)) from None
    layer[name] = value


def _check_text(name: str, text: str) -> None:
    """Raise ValueError for text that pydantic would accept, or reject with an unclear message."""
    if not text.isascii() and any("\ud800" <= char <= "\udfff" for char in text):
        raise ValueError("not UTF-8 text")
    if "\0" in text:
        raise ValueError("contains a NUL character")
    if name.startswith("kafka."):
        check_property_text(name.removeprefix("kafka."), text)


def _check_property(name: str, label: str, *, in_toml: bool = False) -> None:
    """Raise `UsageError` if users cannot set the property."""
    if reason := refusal_reason(name):
        raise setting_error(label, name_toml_keys(reason) if in_toml else reason)


def _setting_of(variable: str, label: str) -> tuple[str, bool]:
    """Return the dotted name of the setting, and whether the value is the path of a file to read."""
    if variable in _NAMES:
        return _NAMES[variable], False
    if variable.removesuffix(_FILE) in _NAMES:
        return _NAMES[variable.removesuffix(_FILE)], True
    if not variable.startswith(_KAFKA):
        raise _unknown_setting(label, variable, {name: variable for variable, name in _NAMES.items()})
    # A property's name can itself end in `__FILE`, as in sasl.oauthbearer.assertion.file.
    is_file = variable.endswith(_FILE) and not variable.endswith("_" + _FILE)
    rest = variable.removeprefix(_KAFKA)
    name = (rest.removesuffix(_FILE) if is_file else rest).lower().replace("__", ".")
    _check_property(name, label)
    return f"kafka.{name}", is_file


def _read_text(path: Path) -> str:
    """Read a text file; return empty text if it does not exist. Raises `UsageError`."""
    try:
        return path.read_text("utf-8-sig")
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        raise setting_error(str(path), _describe_read_error(error)) from None


def _read_secret(path: Path, label: str) -> str:
    """Read a file without its last line end; raises `UsageError`."""
    try:
        text = path.read_bytes().decode()
    except (OSError, ValueError) as error:
        raise setting_error(label, f"{path} {_describe_read_error(error)}") from None
    return re.sub(r"\r?\n\Z", "", text)


def _describe_read_error(error: Exception) -> str:
    """Describe why a file cannot be read, without showing its content."""
    return f"can't be read: {(isinstance(error, OSError) and error.strerror) or 'not UTF-8 text'}"


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
