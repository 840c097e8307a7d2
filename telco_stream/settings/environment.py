"""The environment and `.env`: the variables under the prefix, and those that name a file to read the value from."""

import io
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from dotenv.parser import Binding, parse_stream

from telco_stream.settings.sources import (
    Layer,
    SettingValue,
    add,
    check_property,
    read_text,
    setting_error,
    unknown,
    why_unreadable,
)
from telco_stream.settings.tree import FIELDS

DOTENV = ".env"
PREFIX = "TELCO_STREAM_"
_KAFKA = PREFIX + "KAFKA__"
_FILE = "_FILE"
#: Not settings: what Kubernetes injects for a service named telco-stream, and what the test suite reads.
_OTHERS = tuple(PREFIX + name for name in ("PORT", "SERVICE_", "TEST_"))


def variable_of(name: str) -> str:
    """The environment variable of a setting, by the setting's dotted name."""
    return PREFIX + name.upper().replace(".", "__")


_NAMES = {variable_of(name): name for name in FIELDS}


@dataclass(frozen=True, slots=True)
class _Variable:
    name: str
    text: str
    where: str

    @property
    def upper(self) -> str:
        """The name as it is compared: case doesn't count, as users of pydantic-settings expect."""
        return self.name.upper()

    @property
    def label(self) -> str:
        return self.name if self.where == "environment" else f"{self.name} in {self.where}"


def read_environment(environ: Mapping[str, str], cwd: Path, where: str = "environment") -> Layer:
    """The variables under the prefix; raises `UsageError` for one that is no setting, or sets what another sets."""
    layer: Layer = {}
    for variable in (_Variable(name, text, where) for name, text in environ.items()):
        if variable.upper.startswith(PREFIX) and not variable.upper.startswith(_OTHERS):
            name, is_file = _setting_of(variable)
            add(layer, name, _read_file(variable, cwd) if is_file else _plain(variable))
    return layer


def read_dotenv(cwd: Path) -> Layer:
    """The variables of `.env` in the working directory, verbatim: nothing in them is expanded, the last one counts."""
    variables: dict[str, str] = {}
    for binding in parse_stream(io.StringIO(read_text(cwd / DOTENV))):
        if binding.error or _lacks_value(binding):
            raise setting_error(f"{DOTENV}, line {binding.original.line}", "write NAME=value, and close every quote")
        if binding.key and binding.value is not None:
            variables[binding.key] = binding.value
    return read_environment(variables, cwd, DOTENV)


def _lacks_value(binding: Binding) -> bool:
    return binding.value is None and (binding.key or "").upper().startswith(PREFIX)


def _setting_of(variable: _Variable) -> tuple[str, bool]:
    """The setting's dotted name, and whether the variable names a file to read it from."""
    upper = variable.upper
    if upper in _NAMES:
        return _NAMES[upper], False
    if upper.removesuffix(_FILE) in _NAMES:
        return _NAMES[upper.removesuffix(_FILE)], True
    if upper.startswith(_KAFKA):
        return _property_of(upper.removeprefix(_KAFKA), variable.label)
    raise unknown(variable.label, upper, _NAMES)


def _property_of(rest: str, label: str) -> tuple[str, bool]:
    # `__FILE` is the last part of a property's own name, such as sasl.oauthbearer.assertion.file
    is_file = rest.endswith(_FILE) and not rest.endswith("_" + _FILE)
    name = (rest.removesuffix(_FILE) if is_file else rest).lower().replace("__", ".")
    check_property(name, label)
    return f"kafka.{name}", is_file


def _plain(variable: _Variable) -> SettingValue:
    return SettingValue(variable.text, f"{variable.where} {variable.name}", variable.label)


def _read_file(variable: _Variable, cwd: Path) -> SettingValue:
    path = cwd / variable.text
    try:
        text = path.read_bytes().decode()
    except (OSError, ValueError) as error:
        raise setting_error(variable.label, f"{path} {why_unreadable(error)}") from None
    return SettingValue(re.sub(r"\r?\n\Z", "", text), f"file {path} ({variable.name})", variable.label)
