"""Lists of the settings, from the typed tree and its JSON Schema."""

from collections.abc import Mapping
from typing import Any

from docs.generate.commands import COMMANDS, commands_with
from docs.generate.kinds import describe_schema
from docs.generate.markdown import bullets, code, codes
from telco_stream.settings import Settings
from telco_stream.settings.properties import REFUSED
from telco_stream.settings.sources import FLAGS
from telco_stream.settings.tree import FIELDS

_SCHEMA = Settings.model_json_schema()


def settings(group: str) -> str:
    """Return a list of the settings of a group, or of those without a group."""
    return bullets(_describe(name) for name in FIELDS if name.rpartition(".")[0] == group)


def refused_properties(_: str) -> str:
    """Return a list of the librdkafka properties that users cannot set, and what to use instead."""
    names: dict[str, list[str]] = {}
    for name, reason in REFUSED.items():
        names.setdefault(reason, []).append(name)
    return bullets(f"{codes(properties)}: {reason}" for reason, properties in names.items())


def _describe(name: str) -> str:
    field = FIELDS[name]
    default = "" if field.default is None else f", default {code(_format_default(field.default))}"
    kind = describe_schema(_schema_of(name))
    return f"{code(name)}: {field.description} {kind[0].upper()}{kind[1:]}{default}.{_flag(name)}"


def _flag(name: str) -> str:
    """Return the flag and its commands; options of most commands are described elsewhere."""
    flag, commands = FLAGS[name], commands_with(name)
    if 2 * len(commands) > len(COMMANDS):
        return f" {code(flag)} of [most commands](commands.md#shared-options)."
    return f" {code(flag)} of {codes(commands)}." if commands else ""


def _format_default(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _schema_of(name: str) -> Mapping[str, Any]:
    group, _, last = name.rpartition(".")
    schema = _SCHEMA
    if group:
        schema = _SCHEMA["$defs"][_SCHEMA["properties"][group]["$ref"].rpartition("/")[2]]
    field: Mapping[str, Any] = schema["properties"][last]
    return field
