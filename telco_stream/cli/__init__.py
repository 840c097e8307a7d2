"""The command line: parses options, runs a command, shows its result and sets the exit code."""

import os
import sys
from collections.abc import Iterable
from importlib import import_module
from typing import Annotated, Any

import typer

from telco_stream import __version__
from telco_stream.cli import streams
from telco_stream.cli.help import Command, Group
from telco_stream.errors import TelcoStreamError
from telco_stream.runtime.signals import EXIT_INTERRUPTED, Stopped

#: Exit code if the reader of stdout has gone, as shells report it for SIGPIPE.
_EXIT_BROKEN_PIPE = 141
#: Module and object of each command or group, in the order of `--help`.
COMMANDS = {
    "demo": ("demo", "demo"),
    "produce": ("produce", "produce"),
    "consume": ("consume", "consume"),
    "report": ("topics", "report"),
    "verify": ("topics", "verify"),
    "status": ("health", "status"),
    "doctor": ("health", "doctor"),
    "quality": ("quality", "quality"),
    "drift": ("drift", "drift"),
    "explain": ("explain", "explain"),
    "train": ("local", "train"),
    "sample": ("local", "sample"),
    "topics": ("topics", "group"),
    "dlq": ("dlq", "group"),
    "predictions": ("predictions", "group"),
    "outcomes": ("outcomes", "group"),
    "contract": ("contract", "group"),
    "model": ("models", "group"),
    "data": ("local", "data_group"),
    "config": ("local", "config_group"),
}


class _Commands(Group):
    """Commands that end quietly if the reader of stdout has gone, as in `telco-stream dlq list | head -1`."""

    def invoke(self, ctx: Any) -> object:  # noqa: ANN401 - the type is private to typer
        """Run the command and flush its output."""
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
        except BrokenPipeError:
            streams.discard_stdout()
            raise typer.Exit(_EXIT_BROKEN_PIPE) from None
        return result


def make_app(names: Iterable[str] = COMMANDS) -> typer.Typer:
    """Return the application with these commands and groups; a few of them start faster than all."""
    app = typer.Typer(
        name="telco-stream",
        cls=_Commands,
        help="Score events from Kafka with a model, exactly once. Bad records become dead letters.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,  # plain help fits 80 columns without cut names, and is faster
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_options)
    for name in names:
        module, attribute = COMMANDS[name]
        command = getattr(import_module(f"telco_stream.cli.{module}"), attribute)
        if not isinstance(command, typer.Typer):
            app.command(name, cls=Command)(command)
            continue
        app.add_typer(command, cls=Group)
        for registered in command.registered_commands:
            registered.cls = Command
    return app


def _show_version(is_requested: bool) -> None:
    if is_requested:
        typer.echo(f"telco-stream {__version__}")
        raise typer.Exit


def _options(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_show_version, help="Show the version and exit.")
    ] = False,
) -> None: ...


def main() -> None:
    """Run a command; show a `TelcoStreamError` as one line with its exit code, and a bug as a traceback."""
    streams.prepare()
    # Pydantic looks for plugins in every installed distribution, which takes longer than to read the settings.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    names = [name for name in sys.argv[1:2] if name in COMMANDS]
    try:
        make_app(names or COMMANDS)()
    except TelcoStreamError as error:
        streams.discard_stdout()
        from telco_stream.runtime import logs

        if not logs.log_failure(error):
            from telco_stream.display.console import Screen

            Screen().error(error)
        sys.exit(error.exit_code)
    except Stopped:
        sys.exit(EXIT_INTERRUPTED)
