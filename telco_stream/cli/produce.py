"""`telco-stream produce`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from telco_stream.cli import options
from telco_stream.runtime.choices import DeliveryGuarantee, Mode

if TYPE_CHECKING:
    from telco_stream.cli.session import Session
    from telco_stream.display.produce_progress import ProduceProgress
    from telco_stream.produce.run import ProduceOptions


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(produce)


def produce(
    mode: Annotated[Mode, typer.Option(help="The file once, or random rows of it without end.")],
    broker: options.Broker = None,
    topic: options.Topic = None,
    data_path: Annotated[
        Path | None, typer.Option(metavar="CSV", help="Customers to send.  [default: the shipped sample]")
    ] = None,
    events_per_sec: Annotated[
        float | None,
        typer.Option(min=0, metavar="RATE", help="Pace of streaming; 0 is as fast as possible.  [default: 10]"),
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Rows read and checked at a time.  [default: 1000]")
    ] = None,
    checkpoint_file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Where the progress is kept.  [default: checkpoints/producer.json]"),
    ] = None,
    delivery: Annotated[
        DeliveryGuarantee | None,
        typer.Option(help="What is promised.  [default: exactly-once in batch mode]"),
    ] = None,
    run_id: Annotated[
        str | None, typer.Option(metavar="ID", help="Name of this pass: once finished, it sends nothing again.")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, metavar="N", help="Stop after so many rows.")] = None,
    seed: Annotated[
        int | None, typer.Option(metavar="N", help="Streaming: the same seed draws the same customers.")
    ] = None,
    restart: Annotated[bool, typer.Option("--restart", help="Start over, whatever the checkpoint says.")] = False,
    no_live: options.NoLive = False,
    metrics_port: options.MetricsPort = 0,
    metrics_host: options.MetricsHost = None,
    timeout: options.Timeout = 10.0,
    output: options.Output = "table",
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
    log_format: options.LogFormat = "text",
) -> None:
    """Send customers from a CSV to the raw topic. An interrupted pass goes on where Kafka confirmed it last."""
    from telco_stream.cli.session import Session

    flags = {
        "bootstrap_servers": broker,
        "topics.raw": topic,
        "producer.data_path": data_path and str(data_path),
        "producer.events_per_sec": events_per_sec,
        "producer.batch_size": batch_size,
        "producer.checkpoint_file": checkpoint_file and str(checkpoint_file),
        "metrics.host": metrics_host,
    }
    talk = {"quiet": quiet, "verbose": verbose, "live": not no_live}
    session = Session(output, **talk, log_format=log_format, flags=flags, timeout=timeout)
    stop = session.stop  # from here on a signal is heard

    from telco_stream.monitoring import MonitoringOptions
    from telco_stream.produce.run import ProduceOptions, run_produce

    order = ProduceOptions(mode, delivery, run_id, limit, seed, restart, MonitoringOptions(metrics_port))
    progress = _progress(session, order)
    with session.live(progress):
        result = run_produce(session.clients, order, stop=stop, watch=progress)
    session.screen.show(result)


def _progress(session: "Session", order: "ProduceOptions") -> "ProduceProgress":
    """Return the progress line of the run."""
    from functools import partial
    from time import monotonic

    from telco_stream.csv.reader import count_lines_after_header
    from telco_stream.display.produce_progress import ProduceProgress, ProduceRun
    from telco_stream.produce.run import data_path

    settings, batch = session.settings, order.mode == "batch"
    size = partial(count_lines_after_header, data_path(settings)) if batch else None
    target = 0.0 if batch else settings.producer.events_per_sec
    run = ProduceRun(lambda: session.stop.requested, session.clients.unavailable_for, target, order.limit, size)
    return ProduceProgress(run, monotonic)
