"""`telco-stream drift`."""

from typing import TYPE_CHECKING, Annotated

import typer

from telco_stream.cli import options
from telco_stream.cli.session import Session
from telco_stream.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable

    from telco_stream.model.drift.results import DriftResult
    from telco_stream.runtime.choices import Engine
    from telco_stream.runtime.period import Period
    from telco_stream.runtime.signals import Stop


def drift(
    broker: options.Broker = None,
    topic: options.Topic = None,
    model: options.Model = None,
    engine: options.Engine = "auto",
    since: options.Since = None,
    until: options.Until = None,
    window: Annotated[
        int | None,
        typer.Option(min=500, metavar="N", help="Records of a window.  [default and maximum: rows of the baseline]"),
    ] = None,
    timeout: options.Timeout = 10.0,
    output: options.Output = "table",
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Compare records with the training data of the model. Exits 5 if features or scores drifted in the period."""
    import time

    from telco_stream.display.progress import RowProgress
    from telco_stream.runtime.period import parse_period

    period = parse_period(since, until, time.time())
    flags = {"bootstrap_servers": broker, "topics.raw": topic, "model.path": model}
    session = Session(output, quiet=quiet, verbose=verbose, flags=flags, timeout=timeout)
    stop = session.stop  # handle signals from here on
    with session.screen.live(RowProgress("drift")) as bar:
        result = prepare_drift(session, engine, period, window, bar.advance)(stop)
    session.screen.show(result)
    if result.drifted:
        raise DataError(f"Drifted: {', '.join(result.drifted)}")


def prepare_drift(
    session: Session, engine: "Engine", period: "Period", window: int | None, on_read: "Callable[[int], None]"
) -> "Callable[[Stop], DriftResult]":
    """Load the model and its baseline, and return the function that reads the records of the period."""
    from telco_stream.model.artifact import BASELINE, load_files, manifest_of
    from telco_stream.model.drift.tracking import open_tracker
    from telco_stream.quality.drift import DriftOptions, run_drift

    files, origin = session.model_files(), session.model_origin
    scorer = load_files(files, origin, engine)
    tracker = open_tracker(files.get(BASELINE), scorer)
    drift_options = DriftOptions(period, manifest_of(files, origin).metrics, window, on_read)
    return lambda stop: run_drift(session.clients, scorer, tracker, drift_options, stop=stop)
