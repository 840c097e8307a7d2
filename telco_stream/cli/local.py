"""The commands that need no Kafka: `train`, `sample`, `data fetch` and `config show`."""

from collections.abc import Callable
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated

import typer

from telco_stream.cli import options
from telco_stream.cli.session import Session
from telco_stream.errors import UsageError
from telco_stream.runtime.files import STDOUT

if TYPE_CHECKING:
    from telco_stream.model.results import TrainingResult

config_group = typer.Typer(name="config", no_args_is_help=True, help="Show the settings.")
data_group = typer.Typer(name="data", no_args_is_help=True, help="Download the public data set.")


def train(
    data_path: Annotated[Path, typer.Option(metavar="CSV", help="CSV file with labelled rows.")],
    out: options.ModelOut = Path("models/churn"),
    contract: options.ContractFile = None,
    number_rows: options.NumberRows = False,
    delimiter: options.Delimiter = ",",
    replace: Annotated[
        bool, typer.Option("--replace", help="Replace the model in the folder, and show the metrics of both.")
    ] = False,
    seed: Annotated[int, typer.Option(metavar="N", help="Seed of the cross-validation folds.")] = 0,
    output: options.Output = "table",
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Train a model on a labelled CSV file. Tries a linear and a boosted one, and keeps the better one."""
    from telco_stream.csv.header import parse_delimiter
    from telco_stream.csv.validation import CsvFormat
    from telco_stream.display.progress import StageProgress
    from telco_stream.runtime.clock import utc_timestamp

    session = Session(output, quiet=quiet, verbose=verbose)
    csv_format = CsvFormat(
        session.contract(contract, model_may_be_missing=True), parse_delimiter(delimiter), number_rows
    )
    with session.screen.live(StageProgress("loading libraries")) as stages:
        result = _load_training()(
            data_path,
            out,
            csv_format,
            created_at=utc_timestamp(),
            replace_model=replace,
            seed=seed,
            progress=stages,
        )
    session.screen.show(result)
    folder = quote(str(out))
    session.screen.say(f"To score with it, use --model {folder} or TELCO_STREAM_MODEL__PATH={folder}")


def _load_training() -> "Callable[..., TrainingResult]":
    """Import the function that trains, which takes seconds, and which an installation may lack."""
    from telco_stream.model.artifact import requiring_libraries
    from telco_stream.runtime.signals import ending_on_ctrl_c

    advice = "install telco-stream with all dependencies, or use its larger image"
    with ending_on_ctrl_c(), requiring_libraries("To train a model", UsageError, advice):
        from telco_stream.model.training import train as fit
    return fit


def sample(
    out: Annotated[Path, typer.Option(metavar="FILE", help="CSV file to write; - is stdout.")],
    contract: options.ContractFile = None,
    rows: Annotated[int, typer.Option(min=0, metavar="N", help="Number of rows.")] = 1000,
    seed: Annotated[int, typer.Option(metavar="N", help="Seed; the same seed generates the same rows.")] = 7,
    output: options.Output = "table",
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Generate synthetic rows with labels. Those of the built-in contract are similar to the public data set."""
    from telco_stream.display.progress import RowProgress
    from telco_stream.sample import write_sample

    session = Session(output, quiet=quiet, verbose=verbose, writes_to_stdout=out == STDOUT)
    columns = session.contract(contract)
    with session.screen.live(RowProgress("sample", rows)) as bar:
        result = write_sample(out, rows, seed, bar.advance, columns)
    session.screen.show(result)


@data_group.command()
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
    from telco_stream.sample import dataset

    session = Session(output, quiet=quiet, verbose=verbose)
    session.screen.show(dataset.fetch(out, timeout=timeout))


@config_group.command("show")
def show_config(
    broker: options.Broker = None,
    topic: options.Topic = None,
    group: options.Group = None,
    model: options.Model = None,
    output: options.Output = "table",
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Show the settings and the origin of each. Secrets are masked."""
    flags = {"bootstrap_servers": broker, "topics.raw": topic, "consumer.group_id": group, "model.path": model}
    session = Session(output, quiet=quiet, verbose=verbose, flags=flags)
    session.screen.show(session.loaded.resolved)
