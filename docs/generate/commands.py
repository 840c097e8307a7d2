"""The commands and their options, from the Typer app."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import typer.main

from docs.generate.markdown import bullets, code, codes, paragraph
from docs.generate.results import results
from telco_stream.cli import make_app
from telco_stream.cli.help import settings_of
from telco_stream.cli.options import Setting


def _walk(command: Any, *names: str) -> Iterator[tuple[str, Any]]:
    below = getattr(command, "commands", {})
    if not below:
        yield " ".join(names), command
    for name, subcommand in below.items():
        yield from _walk(subcommand, *names, name)


#: All commands without the groups, by name, in the order of `--help`.
COMMANDS: dict[str, Any] = dict(_walk(typer.main.get_command(make_app())))


def command(name: str) -> str:
    """Describe a command: help, its own options, the names of shared options, and its JSON result."""
    details = COMMANDS[name]
    lines = [_line(details, option) for option in details.params]
    own = [line for line in lines if _COUNTS[line] == 1]
    shared = [_flag(option) for option, line in zip(details.params, lines, strict=True) if _is_shared(line)]
    return "\n\n".join(
        [
            details.help,
            *([bullets(own)] if own else []),
            *([paragraph(f"[Shared](#shared-options): {codes(shared)}.")] if shared else []),
            *map(paragraph, results(name)),
        ]
    )


def shared_options(_: str) -> str:
    """Return a list of the options that several commands have."""
    return bullets(line for line in _COUNTS if _is_shared(line))


def common_options(_: str) -> str:
    """Return a list of the options that all commands have."""
    return bullets(line for line, count in _COUNTS.items() if count == len(COMMANDS))


def commands_with(setting: str) -> list[str]:
    """Return the commands with an option that overrides the setting."""
    return [name for name, command in COMMANDS.items() if setting in {other.name for _, other in settings_of(command)}]


def _is_shared(line: str) -> bool:
    return 1 < _COUNTS[line] < len(COMMANDS)


def _flag(option: Any) -> str:
    longest: str = max(option.opts, key=len)
    return longest


def _line(command: Any, option: Any) -> str:
    names, text = option.get_help_record(command.context_class(command))
    links = " or ".join(_link(setting) for other, setting in settings_of(command) if other is option)
    return f"{code(names)}: {' '.join(text.split())}" + (f" Setting {links}." if links else "")


def _link(setting: Setting) -> str:
    group, dot, _ = setting.name.partition(".")
    mode = f" in {setting.mode} mode" if setting.mode else ""
    return f"[{code(setting.name)}](configuration.md#{group if dot else 'brokers'}){mode}"


#: Number of commands by option.
_COUNTS = Counter(_line(command, option) for command in COMMANDS.values() for option in command.params)
