"""`telco-stream predictions`."""

from typing import Annotated

import typer

from telco_stream.cli import options
from telco_stream.cli.session import Session
from telco_stream.errors import DataError

group = typer.Typer(name="predictions", no_args_is_help=True, help="Look up predictions.")


@group.command()
def show(
    customer: Annotated[str, typer.Argument(metavar="CUSTOMER", help="Key, such as a customer's ID.")],
    broker: options.Broker = None,
    model: options.Model = None,
    limit: Annotated[int, typer.Option(min=1, metavar="N", help="At most N predictions.")] = 10,
    records: Annotated[
        int, typer.Option(min=0, metavar="N", help="Search the newest N records of the topic; 0 searches all.")
    ] = 1_000_000,
    timeout: options.Timeout = 10.0,
    output: options.Output = "table",
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """List the predictions of one key, newest first. Says how far back it searched; exits 5 if it found none."""
    from telco_stream.display.progress import RowProgress
    from telco_stream.display.text import describe_lookup
    from telco_stream.report.lookup import LookupOptions
    from telco_stream.report.run import run_lookup

    session = Session(
        output, quiet=quiet, verbose=verbose, flags={"bootstrap_servers": broker, "model.path": model}, timeout=timeout
    )
    with session.screen.live(RowProgress("search")) as bar:
        lookup_options = LookupOptions(customer, limit, records, bar.advance, session.contract(), session.sentences())
        lookup = run_lookup(session.clients, lookup_options, stop=session.stop)
    if not lookup.predictions:
        raise DataError(describe_lookup(lookup))
    session.screen.show(lookup)
