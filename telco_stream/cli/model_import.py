"""`telco-stream model import`: makes a model folder of a model that another program fitted."""

from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated

import typer

from telco_stream.cli import options
from telco_stream.cli.session import Session
from telco_stream.errors import UsageError

if TYPE_CHECKING:
    from telco_stream.model.evaluation import ThresholdRule


def import_model(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Fitted model, saved by its library.")],
    data: Annotated[Path, typer.Option(metavar="CSV", help="CSV file with labelled rows, to compare engines on.")],
    contract: options.ContractFile = None,
    out: options.ModelOut = Path("models/mine"),
    holdout: Annotated[
        Path | None,
        typer.Option(metavar="CSV", help="Rows that the model was not fitted to, for the metrics."),
    ] = None,
    threshold: options.Threshold = None,
    contact_cost: options.ContactCost = None,
    customer_value: options.CustomerValue = None,
    trust: Annotated[
        bool, typer.Option("--trust", help="Load a pickle (joblib), which can run any code in it.")
    ] = False,
    number_rows: options.NumberRows = False,
    delimiter: options.Delimiter = ",",
    replace: Annotated[
        bool, typer.Option("--replace", help="Replace the model in the folder, and show the metrics of both.")
    ] = False,
    output: options.Output = "table",
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Make a model folder of a fitted model. The fastest engine that is equal to the original serves it."""
    from telco_stream.csv.header import parse_delimiter
    from telco_stream.csv.validation import CsvFormat
    from telco_stream.display.progress import StageProgress
    from telco_stream.model.artifact import requiring_libraries
    from telco_stream.runtime.clock import utc_timestamp
    from telco_stream.runtime.signals import ending_on_ctrl_c

    session = Session(output, quiet=quiet, verbose=verbose)
    columns = session.contract(contract, model_may_be_missing=True)
    csv_format = CsvFormat(columns, parse_delimiter(delimiter), number_rows)
    advice = "install telco-stream with all dependencies, or use its larger image"
    with session.screen.live(StageProgress("loading libraries")) as stages:
        with ending_on_ctrl_c(), requiring_libraries("To import a model", UsageError, advice):
            from telco_stream.model.imports.run import ImportOptions
            from telco_stream.model.imports.run import import_model as run
        rule = threshold_rule(threshold, contact_cost, customer_value)
        import_options = ImportOptions(data, holdout, rule, trust=trust, replace_model=replace)
        result = run(file, out, csv_format, import_options, created_at=utc_timestamp(), progress=stages)
    for note in result.notes:
        session.screen.warn(note)
    session.screen.show(result)
    folder, engine = quote(str(out)), "--engine sklearn with " if result.needs_pickle else ""
    session.screen.say(f"To score with it, use {engine}--model {folder} or TELCO_STREAM_MODEL__PATH={folder}")


def threshold_rule(threshold: float | None, cost: float | None, value: float | None) -> "ThresholdRule":
    """Return the rule of these options; raise `UsageError` if they don't go together."""
    from telco_stream.model.evaluation import ThresholdRule

    if (cost is None) != (value is None):
        raise UsageError("--contact-cost and --customer-value are needed together")
    if threshold is not None and cost is not None:
        raise UsageError("--threshold and --contact-cost exclude each other")
    return ThresholdRule(threshold, cost, value)
