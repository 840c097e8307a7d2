"""The command line: options become parts, a run's result is shown, and trouble becomes an exit code."""

import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from telco_stream import __version__
from telco_stream.cli import config, consume, data, demo, dlq, model, produce, report, status, streams, topics, verify
from telco_stream.errors import TelcoStreamError
from telco_stream.runtime.signals import Stopped

#: Ended by a signal before there was a result.
_INTERRUPTED = 130
#: Whoever read the result has gone: what a shell says of a program that SIGPIPE has ended.
_PIPE_BROKEN = 141


class _Commands(TyperGroup):
    """Ends quietly where the reader of its output has gone, as in `telco-stream dlq list | head -1`."""

    def invoke(self, ctx: Any) -> object:  # noqa: ANN401 - typer keeps the type private
        """Run the command, its output written to the end."""
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
        except BrokenPipeError:
            streams.give_up_stdout()
            raise typer.Exit(_PIPE_BROKEN) from None
        return result


app = typer.Typer(
    name="telco-stream",
    cls=_Commands,
    help="Scores customer events in Kafka with a scikit-learn model: exactly once, every bad record accounted for.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain help fits 80 columns whole, where rich's cuts names and defaults; and costs half
    context_settings={"help_option_names": ["-h", "--help"]},
)
for room in (demo, produce, consume, topics, report, verify, status, dlq, model, data, config):
    room.register(app)


def _show_version(asked: bool) -> None:
    if asked:
        typer.echo(f"telco-stream {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_show_version, help="Show the version and exit.")
    ] = False,
) -> None: ...


def main() -> None:
    """Run a command; an error that a user can act on is one line and its exit code, a bug is a traceback."""
    streams.prepare()
    try:
        app()
    except TelcoStreamError as error:
        streams.give_up_stdout()
        from telco_stream.runtime import logs

        if not logs.log_failure(error):
            from telco_stream.display.console import Screen

            Screen().error(error)
        sys.exit(error.exit_code)
    except Stopped:
        sys.exit(_INTERRUPTED)
