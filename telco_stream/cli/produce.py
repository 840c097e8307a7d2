"""`telco-stream produce`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from telco_stream.cli import options
from telco_stream.cli.session import Session
from telco_stream.errors import DataError, UsageError
from telco_stream.runtime.choices import DeliveryGuarantee, Mode

if TYPE_CHECKING:
    from telco_stream.csv.validation import CsvFormat
    from telco_stream.display.progress import ProduceProgress
    from telco_stream.produce.run import ProduceOptions
    from telco_stream.runtime.signals import Stop


def produce(
    mode: Annotated[
        Mode | None,
        typer.Option(
            help="batch sends the file once and ends; streaming sends random rows until stopped.  [required, except"
            " with --check]"
        ),
    ] = None,
    broker: options.Broker = None,
    topic: options.Topic = None,
    data_path: Annotated[
        Path | None,
        typer.Option(metavar="CSV", help="CSV file to send.  [default: the bundled sample]"),
        options.Setting("producer.data_path"),
    ] = None,
    contract: options.ContractFile = None,
    number_rows: options.NumberRows = False,
    delimiter: options.Delimiter = ",",
    events_per_sec: Annotated[
        float | None,
        typer.Option(
            min=0, metavar="RATE", help="Rows per second in streaming mode; 0 is as fast as possible.  [default: 10]"
        ),
        options.Setting("producer.events_per_sec"),
    ] = None,
    batch_size: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Rows that are read, checked and confirmed at a time.  [default: 1000]"),
        options.Setting("producer.batch_size"),
    ] = None,
    checkpoint_file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="File in which batch mode saves its progress.  [default: checkpoints/producer.json]"
        ),
        options.Setting("producer.checkpoint_file"),
    ] = None,
    delivery: Annotated[
        DeliveryGuarantee | None, typer.Option(help="Delivery guarantee.  [default: exactly-once in batch mode]")
    ] = None,
    run_id: options.RunId = None,
    limit: options.RowLimit = None,
    seed: Annotated[int | None, typer.Option(metavar="N", help="Seed of the random rows in streaming mode.")] = None,
    restart: options.RestartPass = False,
    check: options.CheckOnly = False,
    bad_rows: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Skip bad rows in batch mode, and write them to FILE with their line and reason."
        ),
    ] = None,
    no_live: options.NoLive = False,
    metrics_port: options.MetricsPort = 0,
    metrics_host: options.MetricsHost = None,
    timeout: options.Timeout = 10.0,
    output: options.Output = "table",
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
    log_format: options.LogFormat = None,
) -> None:
    """Send the rows of a CSV file to the raw topic. An interrupted batch resumes after the last confirmed row."""
    from telco_stream.csv.header import parse_delimiter
    from telco_stream.csv.validation import CsvFormat

    flags = {
        "bootstrap_servers": broker,
        "topics.raw": topic,
        "producer.data_path": data_path,
        "producer.events_per_sec": events_per_sec,
        "producer.batch_size": batch_size,
        "producer.checkpoint_file": checkpoint_file,
        "metrics.host": metrics_host,
    }
    stderr = {"quiet": quiet, "verbose": verbose, "live": not no_live}
    session = Session(output, **stderr, log_format=log_format, flags=flags, timeout=timeout)
    options.check_metrics(metrics_host, metrics_port)
    stop = session.stop  # handle signals from here on
    separator = parse_delimiter(delimiter)
    csv_format = CsvFormat(session.contract(contract), separator, number_rows)
    if check:
        from telco_stream.produce.run import customers

        check_rows(session, customers(session.settings).path, csv_format, bad_rows)
        return
    if mode is None:
        raise UsageError("Missing option --mode: batch or streaming")
    if mode == "batch" and (events_per_sec is not None or seed is not None):
        option = "--seed" if events_per_sec is None else "--events-per-sec"
        raise UsageError(f"{option} requires --mode streaming: a batch sends the rows in order, as fast as possible")

    from telco_stream.monitoring import MonitoringOptions
    from telco_stream.produce.run import ProduceOptions

    monitoring = MonitoringOptions(metrics_port)
    run_options = ProduceOptions(mode, delivery, run_id, limit, seed, restart, bad_rows, monitoring, csv_format)
    send_rows(session, stop, run_options)


def send_rows(session: Session, stop: "Stop", run_options: "ProduceOptions") -> None:
    """Send the rows of a file, and show the result."""
    from telco_stream.display.produce_end import describe_end
    from telco_stream.produce.run import customers, run_produce

    path = (run_options.target or customers(session.settings)).path
    progress = _progress(session, run_options, path)
    with session.screen.live(progress):
        result = run_produce(session.clients, run_options, stop=stop, observer=progress)
    session.screen.show(result)
    for sentence in describe_end(result, run_options, path):
        session.screen.say(sentence)


def check_rows(session: Session, path: Path, csv_format: "CsvFormat", bad_rows: Path | None) -> None:
    """Validate a file and show its bad rows; raise `DataError` if there are any."""
    from telco_stream.display.produce_end import describe_check, refuse_file
    from telco_stream.produce.check import check_file
    from telco_stream.runtime.signals import EXIT_INTERRUPTED, Stopped

    if bad_rows:
        raise UsageError("--check sends nothing; use --bad-rows without it")
    try:
        result = check_file(path, csv_format, session.stop)
    except Stopped:
        raise typer.Exit(EXIT_INTERRUPTED) from None
    session.screen.show(result)
    if result.errors:
        raise DataError(refuse_file(result))
    session.screen.say(describe_check(result))


def _progress(session: Session, run_options: "ProduceOptions", path: Path) -> "ProduceProgress":
    """Return the progress line of a run over the file."""
    from functools import partial

    from telco_stream.csv.reader import count_lines_after_header
    from telco_stream.display.progress import ProduceProgress, ProduceRun

    settings, is_batch = session.settings, run_options.mode == "batch"
    delimiter = run_options.csv_format.delimiter
    count_rows = partial(count_lines_after_header, path, delimiter) if is_batch else None
    target = 0.0 if is_batch else settings.producer.events_per_sec
    unavailable_for = session.clients.unavailable_for
    run = ProduceRun(lambda: session.stop.requested, unavailable_for, target, run_options.limit, count_rows)
    return ProduceProgress(run)
