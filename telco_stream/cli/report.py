"""`telco-stream report`."""

from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from telco_stream.cli import options


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(report)


def report(
    broker: options.Broker = None,
    top_k: options.TopK = 10,
    since: options.Since = None,
    until: options.Until = None,
    model_version: Annotated[
        str | None, typer.Option(metavar="VERSION", help="Only predictions of this model version.")
    ] = None,
    csv: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the predictions there, a line each.")] = None,
    timeout: options.Timeout = 10.0,
    output: options.Output = "table",
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Say what the predictions say. Totals, churn rate, segments and the customers most at risk."""
    from datetime import UTC, datetime

    from telco_stream.atomic import replacing
    from telco_stream.cli.session import Session
    from telco_stream.period import parse_period
    from telco_stream.report import Wanted
    from telco_stream.report.runs import ReportOrder, run_report
    from telco_stream.report.table import PredictionTable

    order = ReportOrder(top_k, Wanted(parse_period(since, until, datetime.now(UTC)), model_version))
    flags = {"bootstrap_servers": broker}
    session = Session(output, quiet=quiet, verbose=verbose, flags=flags, timeout=timeout)
    with ExitStack() as files:  # what can't be written is refused before anything is read
        looks = [PredictionTable(files.enter_context(replacing(csv))).add] if csv else []
        told = run_report(session.clients, order, stop=session.stop, looks=looks)
    session.screen.show(told)
    if csv:
        session.screen.say(f"Wrote {told.summary.total:,} predictions to {csv}.")
