"""`telco-stream quality`."""

from typing import Annotated

import typer

from telco_stream.cli import options
from telco_stream.cli.session import Session
from telco_stream.errors import UsageError


def quality(
    broker: options.Broker = None,
    model: options.Model = None,
    outcomes: options.OutcomesFile = None,
    contract: options.ContractFile = None,
    delimiter: options.Delimiter = ",",
    horizon: options.Horizon = "30d",
    capacity: Annotated[
        float, typer.Option(min=0, max=100, metavar="PERCENT", help="Share of the customers that can be contacted.")
    ] = 10.0,
    uplift: Annotated[
        bool, typer.Option("--uplift", help="Compare flagged customers with those of the control group.")
    ] = False,
    since: options.Since = None,
    until: options.Until = None,
    model_version: options.ModelVersion = None,
    timeout: options.Timeout = 10.0,
    output: options.Output = "table",
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Compare predictions with outcomes. Shows AUC, Brier score, precision and more, by model version and week."""
    import time

    from telco_stream.csv.header import parse_delimiter
    from telco_stream.csv.validation import outcome_format
    from telco_stream.display.progress import RowProgress
    from telco_stream.quality.run import QualityOptions, run_quality
    from telco_stream.report.predictions import PredictionFilter
    from telco_stream.runtime.period import parse_length, parse_period

    seconds = parse_length(horizon, "--horizon")
    if outcomes is None and contract is not None:
        raise UsageError("--contract describes the columns of a file: it requires --outcomes FILE")
    criteria = PredictionFilter(parse_period(since, until, time.time()), model_version)
    flags = {"bootstrap_servers": broker, "model.path": model}
    session = Session(output, quiet=quiet, verbose=verbose, flags=flags, timeout=timeout)
    known = session.contract(contract)
    with session.screen.live(RowProgress("quality")) as bar:
        quality_options = QualityOptions(
            seconds,
            capacity / 100,
            criteria,
            known,
            outcomes,
            "always" if uplift else "never",
            outcome_format(known, parse_delimiter(delimiter)),
            bar.advance,
        )
        result = run_quality(session.clients, quality_options, stop=session.stop)
    session.screen.show(result)
