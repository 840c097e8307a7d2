"""`telco-stream sample` and `telco-stream data`."""

from pathlib import Path
from typing import Annotated

import typer

from telco_stream.cli import options

group = typer.Typer(name="data", no_args_is_help=True, help="Download the public data set.")


def sample(
    out: Annotated[Path, typer.Option(metavar="FILE", help="CSV file to write.")],
    rows: Annotated[int, typer.Option(min=0, metavar="N", help="Number of customers.")] = 1000,
    seed: Annotated[int, typer.Option(metavar="N", help="Seed; the same seed generates the same customers.")] = 7,
    output: options.Output = "table",
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Generate synthetic customers. They are similar to those of the public data set."""
    from telco_stream.cli.session import Session
    from telco_stream.sample import write_sample

    session = Session(output, quiet=quiet, verbose=verbose)
    with session.screen.progress("sample", rows) as bar:
        result = write_sample(out, rows, seed, bar.advance)
    session.screen.show(result)


@group.callback()
def _data() -> None: ...


@group.command()
def fetch(
    out: Annotated[Path, typer.Option(metavar="FILE", help="CSV file to write.")] = Path(
        "data/telco_customer_churn.csv"
    ),
    timeout: Annotated[
        float, typer.Option(min=0.1, metavar="SECONDS", help="Timeout of each response of the server.")
    ] = 30.0,
    output: options.Output = "table",
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Download the public data set, and check its SHA-256."""
    from telco_stream.cli.session import Session
    from telco_stream.sample import dataset

    session = Session(output, quiet=quiet, verbose=verbose)
    session.screen.show(dataset.fetch(out, timeout=timeout))
