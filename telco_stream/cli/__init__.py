"""The command line: parses options, runs a command, shows its result and sets the exit code."""

import sys
from typing import Annotated, Any

import typer

from telco_stream import __version__
from telco_stream.cli import (
    consume,
    contract,
    demo,
    dlq,
    drift,
    explain,
    health,
    local,
    model_import,
    models,
    outcomes,
    predictions,
    produce,
    quality,
    recalibrate,
    streams,
    topics,
)
from telco_stream.cli.help import Command, Group
from telco_stream.errors import TelcoStreamError
from telco_stream.runtime.signals import EXIT_INTERRUPTED, Stopped

#: Exit code if the reader of stdout has gone, as shells report it for SIGPIPE.
_EXIT_BROKEN_PIPE = 141


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


app = typer.Typer(
    name="telco-stream",
    cls=_Commands,
    help="Score events from Kafka with a model, exactly once. Bad records become dead letters.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain help fits 80 columns without cut names, and is faster
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in (
    *(demo.demo, produce.produce, consume.consume, topics.report, topics.verify, health.status, health.doctor),
    *(quality.quality, drift.drift, explain.explain, local.train, local.sample),
):
    app.command(cls=Command)(command)
models.group.command("import")(model_import.import_model)
models.group.command("recalibrate")(recalibrate.recalibrate)
for group in (
    *(topics.group, dlq.group, predictions.group, outcomes.group, contract.group),
    *(models.group, local.data_group, local.config_group),
):
    app.add_typer(group, cls=Group)
    for registered in group.registered_commands:
        registered.cls = Command


def _show_version(is_requested: bool) -> None:
    if is_requested:
        typer.echo(f"telco-stream {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_show_version, help="Show the version and exit.")
    ] = False,
) -> None: ...


def main() -> None:
    """Run a command; show a `TelcoStreamError` as one line with its exit code, and a bug as a traceback."""
    streams.prepare()
    try:
        app()
    except TelcoStreamError as error:
        streams.discard_stdout()
        from telco_stream.runtime import logs

        if not logs.log_failure(error):
            from telco_stream.display.console import Screen

            Screen().error(error)
        sys.exit(error.exit_code)
    except Stopped:
        sys.exit(EXIT_INTERRUPTED)
