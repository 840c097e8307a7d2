"""`telco-stream status`."""

from typing import Annotated

import typer

from telco_stream.cli import options
from telco_stream.errors import DataError


def status(
    broker: options.Broker = None,
    group: options.Group = None,
    max_lag: Annotated[
        int | None, typer.Option(min=0, metavar="N", help="Exit 5 if the group's lag exceeds N.")
    ] = None,
    max_age: Annotated[
        float | None,
        typer.Option(min=0, metavar="SECONDS", help="Exit 5 if the newest prediction is older than SECONDS."),
    ] = None,
    timeout: options.Timeout = 10.0,
    output: options.Output = "table",
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Show offsets, lag, dead letters and the newest prediction. With a limit it is a health check."""
    import time

    from telco_stream.cli.session import Session
    from telco_stream.status.run import exceeded
    from telco_stream.status.run import status as read_status

    flags = {"bootstrap_servers": broker, "consumer.group_id": group}
    session = Session(output, quiet=quiet, verbose=verbose, flags=flags, timeout=timeout)
    name = session.settings.consumer.group_id
    result = read_status(session.clients, name, now=time.time(), stop=session.stop)
    session.screen.show(result)
    if violations := exceeded(result, max_lag=max_lag, max_age=max_age):
        raise DataError("; ".join(violations))
