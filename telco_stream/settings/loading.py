"""Settings in force, and where each came from: flag > environment > `.env` > `telco-stream.toml` > default."""

import operator
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import reduce
from pathlib import Path

from pydantic import ValidationError

from telco_stream.errors import UsageError
from telco_stream.runtime.redaction import MASK, redact, redact_url
from telco_stream.settings.environment import read_dotenv, read_environment
from telco_stream.settings.properties import is_secret, secrets_of
from telco_stream.settings.sources import Layer, LayerSource, read_flags, read_toml, without_shadowed
from telco_stream.settings.tree import FIELDS, SOURCES, Settings


@dataclass(frozen=True, slots=True)
class ResolvedSetting:
    """One setting in force: its dotted name, its value (masked where it is a secret), where that came from."""

    name: str
    value: object
    origin: str
    meaning: str


@dataclass(frozen=True, slots=True)
class Loaded:
    """The settings, and a leaf for each of them."""

    settings: Settings
    resolved: tuple[ResolvedSetting, ...]


def load(
    flags: Mapping[str, object] | None = None, *, environ: Mapping[str, str] | None = None, cwd: Path = Path()
) -> Settings:
    """The settings in force; `flags` by dotted name, None is not given. Raises `UsageError`."""
    return load_traced(flags, environ=environ, cwd=cwd).settings


def load_traced(
    flags: Mapping[str, object] | None = None, *, environ: Mapping[str, str] | None = None, cwd: Path = Path()
) -> Loaded:
    """As `load`, with every setting's origin."""
    layers = list(without_shadowed(_layers(flags or {}, os.environ if environ is None else environ, cwd)))
    merged: Layer = reduce(lambda lower, higher: lower | higher, layers)
    settings = _build(layers, merged)
    redact.register(secrets_of(settings.kafka))
    return Loaded(settings, tuple(_fields(settings, merged)))


def _layers(flags: Mapping[str, object], environ: Mapping[str, str], cwd: Path) -> Iterator[Layer]:
    yield read_flags(flags)
    yield read_environment(environ, cwd)
    yield read_dotenv(cwd)
    yield read_toml(cwd)


def _build(layers: list[Layer], merged: Layer) -> Settings:
    token = SOURCES.set(tuple(LayerSource(Settings, layer) for layer in layers))
    try:
        return Settings()
    except ValidationError as error:
        raise UsageError(_explain(error, merged)) from None
    finally:
        SOURCES.reset(token)


def _explain(error: ValidationError, merged: Layer) -> str:
    """Each complaint under the name that the user wrote; never the value, which may be a secret."""
    complaints = []
    for detail in error.errors(include_url=False, include_context=False, include_input=False):
        name = ".".join(str(part) for part in detail["loc"])
        label = merged[name].label if name in merged else name
        complaints.append(f"{label}: {detail['msg'].removeprefix('Value error, ')}")
    return "; ".join(complaints)


def _fields(settings: Settings, merged: Layer) -> Iterator[ResolvedSetting]:
    for name, field in FIELDS.items():
        value = operator.attrgetter(name)(settings)
        origin = merged[name].origin if name in merged else "default"
        yield ResolvedSetting(name, value, origin, field.description or "")
    for name, text in sorted(settings.kafka.items()):
        shown = MASK if is_secret(name) else redact_url(text)
        yield ResolvedSetting(
            f"kafka.{name}", shown, merged[f"kafka.{name}"].origin, "Property of librdkafka, passed through."
        )
