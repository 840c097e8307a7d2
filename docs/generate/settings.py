"""The settings as tables: read from the typed tree and its JSON Schema."""

from collections.abc import Iterator, Mapping
from typing import Any

from docs.generate.commands import COMMANDS, commands_with
from docs.generate.kinds import in_words
from docs.generate.tables import code, table
from telco_stream.settings import Settings
from telco_stream.settings.environment import variable_of
from telco_stream.settings.properties import REFUSED
from telco_stream.settings.sources import FLAGS
from telco_stream.settings.tree import FIELDS

_SCHEMA = Settings.model_json_schema()


def settings(group: str) -> str:
    """The settings of a group; of none, those that stand by themselves."""
    names = [name for name in FIELDS if name.rpartition(".")[0] == group]
    return table(["setting, variable, flag", "meaning", "type", "default"], map(_row, names))


def refused_properties(_: str) -> str:
    """The properties of librdkafka that can't be set, and what to use instead."""
    reasons: dict[str, list[str]] = {}
    for name, reason in REFUSED.items():
        reasons.setdefault(reason, []).append(name)
    rows = ((", ".join(map(code, names)), reason) for reason, names in reasons.items())
    return table(["property", "why, or what instead"], rows)


def _row(name: str) -> tuple[str, ...]:
    field = FIELDS[name]
    default = "" if field.default is None else code(_plain(field.default))
    kind = in_words(_schema_of(name))
    ways = [code(name), code(variable_of(name)), *_flag(name)]
    return "<br>".join(ways), field.description or "", kind, default


def _flag(name: str) -> Iterator[str]:
    """The flag, and which commands have it; those that most have are told of elsewhere."""
    flag, commands = FLAGS[name], commands_with(FLAGS[name])
    if 2 * len(commands) > len(COMMANDS):
        yield f"{code(flag)} of [most commands](commands.md#options-that-commands-share)"
    elif commands:
        yield f"{code(flag)} of {', '.join(map(code, commands))}"


def _plain(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _schema_of(name: str) -> Mapping[str, Any]:
    group, _, last = name.rpartition(".")
    schema = _SCHEMA
    if group:
        schema = _SCHEMA["$defs"][_SCHEMA["properties"][group]["$ref"].rpartition("/")[2]]
    field: Mapping[str, Any] = schema["properties"][last]
    return field
