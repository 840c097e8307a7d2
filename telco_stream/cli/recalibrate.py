"""`telco-stream model recalibrate`: calibrates a model on the outcomes of its predictions."""

from pathlib import Path
from shlex import quote
from typing import Annotated

import typer

from telco_stream.cli import options
from telco_stream.cli.model_import import threshold_rule
from telco_stream.cli.session import Session
from telco_stream.errors import UsageError


def recalibrate(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="FOLDER", help="Model folder whose predictions have outcomes.", callback=options.model_folder
        ),
    ],
    out: options.ModelOut,
    broker: options.Broker = None,
    outcomes: options.OutcomesFile = None,
    delimiter: options.Delimiter = ",",
    horizon: options.Horizon = "30d",
    since: options.Since = None,
    until: options.Until = None,
    threshold: options.Threshold = None,
    contact_cost: options.ContactCost = None,
    customer_value: options.CustomerValue = None,
    replace: Annotated[bool, typer.Option("--replace", help="Replace the model in the folder to write.")] = False,
    timeout: options.Timeout = 10.0,
    output: options.Output = "table",
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Calibrate a model on outcomes. Writes a new folder, whose probabilities come true as often as they say."""
    import time

    from telco_stream.csv.header import parse_delimiter
    from telco_stream.csv.validation import outcome_format
    from telco_stream.display.progress import RowProgress
    from telco_stream.model.artifact import read_contract, requiring_libraries
    from telco_stream.report.predictions import PredictionFilter
    from telco_stream.runtime.clock import utc_timestamp
    from telco_stream.runtime.period import parse_length, parse_period

    criteria = PredictionFilter(parse_period(since, until, time.time()))
    seconds, separator = parse_length(horizon, "--horizon"), parse_delimiter(delimiter)
    session = Session(output, quiet=quiet, verbose=verbose, flags={"bootstrap_servers": broker}, timeout=timeout)
    stop = session.stop  # handle signals from here on
    with requiring_libraries("To calibrate a model", UsageError, "install telco-stream with all dependencies"):
        from telco_stream.quality.recalibration import RecalibrationOptions
        from telco_stream.quality.recalibration import recalibrate as run
        from telco_stream.quality.run import QualityOptions

        rule = threshold_rule(threshold, contact_cost, customer_value)
    with session.screen.live(RowProgress("recalibrate")) as bar:
        joining = QualityOptions(
            seconds,
            criteria=criteria,
            outcomes=outcomes,
            csv_format=outcome_format(read_contract(folder), separator),
            on_read=bar.advance,
        )
        run_options = RecalibrationOptions(folder, out, joining, rule, replace)
        result = run(session.clients, run_options, created_at=utc_timestamp(), stop=stop)
    for note in result.notes:
        session.screen.warn(note)
    session.screen.show(result)
    session.screen.say(f"To publish it: telco-stream model publish {quote(str(out))}")
