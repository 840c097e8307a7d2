"""The commands and their options, asked from the app itself."""

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
    for name, one in below.items():
        yield from _walk(one, *names, name)


#: Each command that does something, by the words that are typed, in the order of `--help`.
COMMANDS: dict[str, Any] = dict(_walk(typer.main.get_command(app)))


def command(name: str) -> str:
    """What it does, how it is typed, and its own options; those that most commands have are named only."""
    one = COMMANDS[name]
    usage = " ".join(["telco-stream", name, *one.collect_usage_pieces(_context(one))])
    own = [line for line in _lines(one) if line not in _SHARED]
    shared = [typed for typed, meaning in _lines(one) if (typed, meaning) in _SHARED]
    told = f"[Shared](#options-that-commands-share): {', '.join(shared)}."
    return "\n\n".join([one.help, code(usage), *([table(_HEAD, own)] if own else []), told, *results(name)])


def shared_options(_: str) -> str:
    """The options that most commands have."""
    return table(_HEAD, _SHARED)


def commands_with(flag: str) -> list[str]:
    """The commands in which it sets a setting."""
    return [name for name, one in COMMANDS.items() if any(_sets(option, flag) for option in one.params)]


def _sets(option: Any, flag: str) -> bool:
    """Whether the option is a setting's: without a default of its own, the setting decides."""
    return flag in option.opts and option.default is None and not option.required


def _lines(one: Any) -> list[tuple[str, str]]:
    return [_line(one, option) for option in one.params]


def _line(one: Any, option: Any) -> tuple[str, str]:
    typed, meaning = option.get_help_record(_context(one))
    setting = next((name for name, flag in FLAGS.items() if _sets(option, flag)), None)
    return code(typed), f"{' '.join(meaning.split())}{_link(setting) if setting else ''}"


def _link(setting: str) -> str:
    group, dot, _ = setting.partition(".")
    return f" Setting [{code(setting)}](configuration.md#{group if dot else 'brokers'})."


def _context(one: Any) -> Any:
    return one.context_class(one)


_HEAD = ("option", "meaning")
_COUNTS = Counter(line for one in COMMANDS.values() for line in _lines(one))
#: What more than half of the commands have, word for word.
_SHARED = [line for line, count in _COUNTS.items() if 2 * count > len(COMMANDS)]
