"""`telco-stream report`."""

import typer

from telco_stream.cli import options


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(report)


def report(
    broker: options.Broker = None,
    top_k: options.TopK = 10,
    timeout: options.Timeout = 10.0,
    output: options.Output = "table",
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Say what the predictions say. Totals, churn rate, segments and the customers most at risk."""
    from telco_stream.assembly import run_report
    from telco_stream.cli.session import Session

    flags = {"bootstrap_servers": broker}
    session = Session(output, quiet=quiet, verbose=verbose, flags=flags, timeout=timeout)
    session.screen.show(run_report(session.clients, top_k, stop=session.stop))
