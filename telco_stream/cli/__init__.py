"""The command line: options become parts, a run's result is shown, and trouble becomes an exit code."""

import sys

import typer

from telco_stream import __version__
from telco_stream.cli import config, consume, data, demo, dlq, model, produce, report, status, topics, verify
from telco_stream.errors import TelcoStreamError
from telco_stream.stop import Stopped

#: Ended by a signal before there was a result.
_INTERRUPTED = 130

app = typer.Typer(
    name="telco-stream",
    help="Scores customer events in Kafka with a scikit-learn model: exactly once, every bad record accounted for.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for room in (demo, produce, consume, topics, report, verify, status, dlq, model, data, config):
    room.register(app)


@app.callback()
def _options(
    version: bool = typer.Option(False, "--version", is_eager=True, help="Show the version and exit."),
) -> None:
    if version:
        typer.echo(f"telco-stream {__version__}")
        raise typer.Exit


def main() -> None:
    """Run a command; an error that a user can act on is one line and its exit code, a bug is a traceback."""
    try:
        app()
    except TelcoStreamError as error:
        from telco_stream import logs

        if not logs.tell_failure(error):
            from telco_stream.display.console import Screen

            Screen().complain(error)
        sys.exit(error.exit_code)
    except Stopped:
        sys.exit(_INTERRUPTED)
