"""The commands and their options, from the Typer app."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import typer.main

from docs.generate.results import results
from docs.generate.tables import code, table
from telco_stream.cli import app
from telco_stream.settings.sources import FLAGS


def _walk(command: Any, *names: str) -> Iterator[tuple[str, Any]]:
    below = getattr(command, "commands", {})
    if not below:
        yield " ".join(names), command
    for name, subcommand in below.items():
        yield from _walk(subcommand, *names, name)


#: All commands without the groups, by name, in the order of `--help`.
COMMANDS: dict[str, Any] = dict(_walk(typer.main.get_command(app)))


def command(name: str) -> str:
    """Describe a command: help, usage, its own options, the names of shared options, and its JSON result."""
    details = COMMANDS[name]
    usage = " ".join(["telco-stream", name, *details.collect_usage_pieces(_context(details))])
    own = [line for line in _lines(details) if line not in _SHARED]
    shared = [names for names, text in _lines(details) if (names, text) in _SHARED]
    reference = f"[Shared](#options-that-commands-share): {', '.join(shared)}."
    return "\n\n".join([details.help, code(usage), *([table(_HEAD, own)] if own else []), reference, *results(name)])


def shared_options(_: str) -> str:
    """Return a table of the options that most commands share."""
    return table(_HEAD, _SHARED)


def commands_with(flag: str) -> list[str]:
    """Return the commands in which the flag sets a setting."""
    return [name for name, command in COMMANDS.items() if any(_sets(option, flag) for option in command.params)]


def _sets(option: Any, flag: str) -> bool:
    """Return whether the option is the flag of a setting, which has no other default."""
    return flag in option.opts and option.default is None and not option.required


def _lines(command: Any) -> list[tuple[str, str]]:
    return [_line(command, option) for option in command.params]


def _line(command: Any, option: Any) -> tuple[str, str]:
    names, text = option.get_help_record(_context(command))
    setting = next((name for name, flag in FLAGS.items() if _sets(option, flag)), None)
    return code(names), f"{' '.join(text.split())}{_link(setting) if setting else ''}"


def _link(setting: str) -> str:
    group, dot, _ = setting.partition(".")
    return f" Setting [{code(setting)}](configuration.md#{group if dot else 'brokers'})."


def _context(command: Any) -> Any:
    return command.context_class(command)


_HEAD = ("option", "meaning")
_COUNTS = Counter(line for command in COMMANDS.values() for line in _lines(command))
#: Options that more than half of the commands have, with the same help.
_SHARED = [line for line, count in _COUNTS.items() if 2 * count > len(COMMANDS)]
