"""The environment and `.env`: variables with the prefix, and `…_FILE` variables with the path of a file to read."""

import io
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from dotenv.parser import Binding, parse_stream

from telco_stream.settings.sources import (
    Layer,
    SettingValue,
    add_value,
    check_property,
    describe_read_error,
    read_text,
    setting_error,
    unknown_setting,
)
from telco_stream.settings.tree import FIELDS

DOTENV = ".env"
PREFIX = "TELCO_STREAM_"
_KAFKA = PREFIX + "KAFKA__"
_FILE = "_FILE"
#: Not settings: variables that Kubernetes sets for a service named telco-stream, and those of the test suite.
_IGNORED = tuple(PREFIX + name for name in ("PORT", "SERVICE_", "TEST_"))


def variable_of(name: str) -> str:
    """Return the environment variable of a setting, given its dotted name."""
    return PREFIX + name.upper().replace(".", "__")


_NAMES = {variable_of(name): name for name in FIELDS}


@dataclass(frozen=True, slots=True)
class _Variable:
    """A variable and the source that sets it: `environment` or `.env`."""

    name: str
    text: str
    source: str

    @property
    def upper(self) -> str:
        """Return the name for comparisons, which ignore case as in pydantic-settings."""
        return self.name.upper()

    @property
    def label(self) -> str:
        """Return the name for error messages."""
        return self.name if self.source == "environment" else f"{self.name} in {self.source}"


def read_environment(environ: Mapping[str, str], cwd: Path, source: str = "environment") -> Layer:
    """Read the variables with the prefix; raises `UsageError` for unknown and repeated settings."""
    layer: Layer = {}
    for variable in (_Variable(name, text, source) for name, text in environ.items()):
        if variable.upper.startswith(PREFIX) and not variable.upper.startswith(_IGNORED):
            name, is_file = _setting_of(variable)
            add_value(layer, name, _read_file(variable, cwd) if is_file else _read_value(variable))
    return layer


def read_dotenv(cwd: Path) -> Layer:
    """Read `.env` in the working directory. Values are not expanded; the last line of a variable counts."""
    variables: dict[str, str] = {}
    for binding in parse_stream(io.StringIO(read_text(cwd / DOTENV))):
        if binding.error or _lacks_value(binding):
            raise setting_error(f"{DOTENV}, line {binding.original.line}", "use NAME=value, and close all quotes")
        if binding.key and binding.value is not None:
            variables[binding.key] = binding.value
    return read_environment(variables, cwd, DOTENV)


def _lacks_value(binding: Binding) -> bool:
    return binding.value is None and (binding.key or "").upper().startswith(PREFIX)


def _setting_of(variable: _Variable) -> tuple[str, bool]:
    """Return the dotted name of the setting, and whether the value is the path of a file to read."""
    upper = variable.upper
    if upper in _NAMES:
        return _NAMES[upper], False
    if upper.removesuffix(_FILE) in _NAMES:
        return _NAMES[upper.removesuffix(_FILE)], True
    if upper.startswith(_KAFKA):
        return _property_of(upper.removeprefix(_KAFKA), variable.label)
    raise unknown_setting(variable.label, upper, _NAMES)


def _property_of(rest: str, label: str) -> tuple[str, bool]:
    # A property's name can itself end in `__FILE`, as in sasl.oauthbearer.assertion.file.
    is_file = rest.endswith(_FILE) and not rest.endswith("_" + _FILE)
    name = (rest.removesuffix(_FILE) if is_file else rest).lower().replace("__", ".")
    check_property(name, label)
    return f"kafka.{name}", is_file


def _read_value(variable: _Variable) -> SettingValue:
    return SettingValue(variable.text, f"{variable.source} {variable.name}", variable.label)


def _read_file(variable: _Variable, cwd: Path) -> SettingValue:
    path = cwd / variable.text
    try:
        text = path.read_bytes().decode()
    except (OSError, ValueError) as error:
        raise setting_error(variable.label, f"{path} {describe_read_error(error)}") from None
    return SettingValue(re.sub(r"\r?\n\Z", "", text), f"file {path} ({variable.name})", variable.label)
