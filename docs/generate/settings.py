"""Tables of the settings, from the typed tree and its JSON Schema."""

from collections.abc import Iterator, Mapping
from typing import Any

from docs.generate.commands import COMMANDS, commands_with
from docs.generate.kinds import describe_schema
from docs.generate.tables import code, table
from telco_stream.settings import Settings
from telco_stream.settings.properties import REFUSED
from telco_stream.settings.sources import FLAGS, variable_of
from telco_stream.settings.tree import FIELDS

_SCHEMA = Settings.model_json_schema()


def settings(group: str) -> str:
    """Return a table of the settings of a group, or of those without a group."""
    names = [name for name in FIELDS if name.rpartition(".")[0] == group]
    return table(["setting, variable, flag", "meaning", "type", "default"], map(_row, names))


def refused_properties(_: str) -> str:
    """Return a table of the librdkafka properties that users cannot set, and what to use instead."""
    reasons: dict[str, list[str]] = {}
    for name, reason in REFUSED.items():
        reasons.setdefault(reason, []).append(name)
    rows = ((", ".join(map(code, names)), reason) for reason, names in reasons.items())
    return table(["property", "reason, or what to use instead"], rows)


def _row(name: str) -> tuple[str, ...]:
    field = FIELDS[name]
    default = "" if field.default is None else code(_format_default(field.default))
    kind = describe_schema(_schema_of(name))
    names = [code(name), code(variable_of(name)), *_flag(name)]
    return "<br>".join(names), field.description or "", kind, default


def _flag(name: str) -> Iterator[str]:
    """Yield the flag and its commands; options of most commands are described elsewhere."""
    flag, commands = FLAGS[name], commands_with(FLAGS[name])
    if 2 * len(commands) > len(COMMANDS):
        yield f"{code(flag)} of [most commands](commands.md#options-that-commands-share)"
    elif commands:
        yield f"{code(flag)} of {', '.join(map(code, commands))}"


def _format_default(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _schema_of(name: str) -> Mapping[str, Any]:
    group, _, last = name.rpartition(".")
    schema = _SCHEMA
    if group:
        schema = _SCHEMA["$defs"][_SCHEMA["properties"][group]["$ref"].rpartition("/")[2]]
    field: Mapping[str, Any] = schema["properties"][last]
    return field
