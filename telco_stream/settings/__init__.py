"""Typed settings, loaded with their origins: flag > environment > `.env` > `telco-stream.toml` > default."""

import logging
import operator
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from telco_stream.errors import UsageError
from telco_stream.runtime.redaction import MASK, redact, redact_url
from telco_stream.settings.properties import is_secret
from telco_stream.settings.sources import (
    TOML,
    Layer,
    LayerSource,
    name_toml_keys,
    read_dotenv,
    read_environment,
    read_flags,
    read_toml,
)
from telco_stream.settings.tree import (
    FIELDS,
    SIGNING_KEY,
    SOURCES,
    ConsumerSettings,
    DriftSettings,
    ProducerSettings,
    Settings,
    TopicSettings,
)

__all__ = [
    "ConsumerSettings",
    "DriftSettings",
    "ProducerSettings",
    "ResolvedSetting",
    "Settings",
    "TopicSettings",
    "load",
    "load_traced",
    "reword",
]

log = logging.getLogger("telco_stream.settings")

#: Parts of pydantic's messages that do not help a user, and those in which "should" is a requirement.
_NOISE = re.compile(r"^(Value error|Assertion failed), |, unable to parse .*$")
_SHOULD = re.compile(r"^(Input|String|Value) should")


@dataclass(frozen=True, slots=True)
class ResolvedSetting:
    """A setting: its dotted name, its value (masked if it is a secret), its origin and its description."""

    name: str
    value: object
    origin: str
    meaning: str


@dataclass(frozen=True, slots=True)
class LoadedSettings:
    """The settings, and each of them with its origin."""

    settings: Settings
    resolved: tuple[ResolvedSetting, ...]

    def in_users_words(self, message: str) -> str:
        """Name properties by their TOML keys, not by variables, if they are set in `telco-stream.toml` only."""
        origins = {setting.origin for setting in self.resolved if setting.name.startswith("kafka.")}
        return f"{name_toml_keys(message)} (in {TOML})" if origins == {TOML} else message


def load(
    flags: Mapping[str, object] | None = None, *, environ: Mapping[str, str] | None = None, cwd: Path = Path()
) -> Settings:
    """Load the settings. `flags` are by dotted name, None if not given. Raises `UsageError`."""
    return load_traced(flags, environ=environ, cwd=cwd).settings


def load_traced(
    flags: Mapping[str, object] | None = None, *, environ: Mapping[str, str] | None = None, cwd: Path = Path()
) -> LoadedSettings:
    """Load the settings with their origins; see `load`."""
    resolved: Layer = {}
    layers = (
        read_flags(flags or {}),
        read_environment(os.environ if environ is None else environ, cwd),
        read_dotenv(cwd),
        read_toml(cwd),
    )
    settings = _build([LayerSource(Settings, layer, resolved) for layer in layers], resolved)
    redact.register(settings.secrets())
    origins = ", ".join(f"{name} from {setting.origin}" for name, setting in sorted(resolved.items()))
    log.debug("settings: %s", origins or "all have their defaults")
    return LoadedSettings(settings, tuple(_list_settings(settings, resolved)))


def _build(sources: list[LayerSource], resolved: Layer) -> Settings:
    token = SOURCES.set(tuple(sources))
    try:
        return Settings()
    except ValidationError as error:
        raise UsageError(_describe(error, resolved)) from None
    finally:
        SOURCES.reset(token)


def _describe(error: ValidationError, resolved: Layer) -> str:
    """Describe each error with the name that the user wrote, but not the value, which may be a secret."""
    messages = []
    for detail in error.errors(include_url=False, include_context=False, include_input=False):
        name = ".".join(str(part) for part in detail["loc"])
        reason = reword(detail["msg"])
        # The error of a group names the settings that contradict each other.
        names = [name, *(f"{name}.{word}" for word in re.findall(r"\w+", reason))]
        labels = [resolved[name].label for name in names if name in resolved]
        messages.append(f"{', '.join(labels) or name}: {reason}")
    return "; ".join(messages)


def reword(message: str) -> str:
    """Return a message of pydantic, which also checks the options, without its own terms."""
    return _NOISE.sub("", _SHOULD.sub("must", message))


def _list_settings(settings: Settings, resolved: Layer) -> Iterator[ResolvedSetting]:
    for name, field in FIELDS.items():
        value = operator.attrgetter(name)(settings)
        value = MASK if value and name == SIGNING_KEY else value
        origin = resolved[name].origin if name in resolved else "default"
        yield ResolvedSetting(name, value, origin, field.description or "")
    for name, text in sorted(settings.kafka.items()):
        value = MASK if is_secret(name) else redact_url(text)
        origin = resolved[f"kafka.{name}"].origin
        yield ResolvedSetting(f"kafka.{name}", value, origin, "librdkafka property, passed on to the clients.")
