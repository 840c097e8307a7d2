"""`telco-stream consume`."""

from contextlib import suppress
from typing import TYPE_CHECKING, Annotated

import typer

from telco_stream.cli import options
from telco_stream.runtime.choices import DeliveryGuarantee, Engine, Mode

if TYPE_CHECKING:
    from collections.abc import Callable

    from telco_stream.cli.session import Session
    from telco_stream.consume.counters import ConsumeResult
    from telco_stream.consume.run import ConsumeOptions
    from telco_stream.display.consume_view import ConsumeView
    from telco_stream.kafka.first_start import IfAnswered
    from telco_stream.model.scorer import Scorer
    from telco_stream.monitoring.protocols import RunObserver
    from telco_stream.monitoring.snapshot import ConsumerSnapshot
    from telco_stream.runtime.signals import Stop


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(consume)


def consume(
    mode: Annotated[Mode, typer.Option(help="Up to the end in windows, or until stopped.")] = "streaming",
    broker: options.Broker = None,
    group: options.Group = None,
    model: options.Model = None,
    engine: options.Engine = "auto",
    delivery: Annotated[DeliveryGuarantee, typer.Option(help="What is promised.")] = "exactly-once",
    max_messages: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Stop after exactly that many records.")
    ] = None,
    idle_timeout: Annotated[
        float | None, typer.Option(min=0.1, metavar="SECONDS", help="Stop after SECONDS without a record.")
    ] = None,
    window_size: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Records in a window of batch mode.  [default: 1000]")
    ] = None,
    max_consecutive_dead_letters: Annotated[
        int | None,
        typer.Option(min=0, metavar="N", help="Stop at so many bad records in a row; 0 is never.  [default: 1000]"),
    ] = None,
    workers: Annotated[int, typer.Option(min=1, metavar="N", help="Processes that share the partitions.")] = 1,
    top_k: options.TopK = 10,
    no_live: options.NoLive = False,
    metrics_port: options.MetricsPort = 0,
    metrics_host: options.MetricsHost = None,
    exit_on_stall: Annotated[
        bool,
        typer.Option(
            "--exit-on-stall",
            help="Exit 3 when a partition with lag has stood still for TELCO_STREAM_CONSUMER__STALL_SECONDS (60).",
        ),
    ] = False,
    restart: Annotated[
        bool, typer.Option("--restart", help="Start over although the group has no offsets and its topic has answers.")
    ] = False,
    resume_from_answers: Annotated[
        bool,
        typer.Option(
            "--resume-from-answers", help="Continue behind the newest answers if Kafka has deleted the group's offsets."
        ),
    ] = False,
    timeout: options.Timeout = 10.0,
    output: options.Output = "table",
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
    log_format: options.LogFormat = "text",
) -> None:
    """Score the raw topic. Predictions go to their topic, bad records to the dead letters."""
    from telco_stream.cli.session import Session
    from telco_stream.errors import UsageError

    if restart and resume_from_answers:
        raise UsageError("--restart answers everything again, --resume-from-answers doesn't: choose one")

    flags = {
        "bootstrap_servers": broker,
        "consumer.group_id": group,
        "model.path": model and str(model),
        "metrics.host": metrics_host,
        "consumer.window_size": window_size,
        "consumer.max_consecutive_dead_letters": max_consecutive_dead_letters,
    }
    talk = {"quiet": quiet, "verbose": verbose, "live": not no_live}
    session = Session(output, **talk, log_format=log_format, flags=flags, timeout=timeout)
    stop = session.stop  # from here on a signal is heard: to load the model takes a while
    scorer = session.scorer(engine)

    from telco_stream.consume.run import ConsumeOptions
    from telco_stream.model.artifact import read_manifest
    from telco_stream.monitoring import MonitoringOptions

    watching = MonitoringOptions(metrics_port, exit_on_stall, read_manifest(session.model_folder()).created_at)
    if_answered: IfAnswered = "restart" if restart else "resume" if resume_from_answers else "refuse"
    order = ConsumeOptions(mode, delivery, max_messages, idle_timeout, top_k, watching, if_answered)
    result = _run_workers(session, order, engine, workers) if workers > 1 else _run_one(session, order, scorer, stop)
    session.screen.show(result)


def _run_one(session: "Session", order: "ConsumeOptions", scorer: "Scorer", stop: "Stop") -> "ConsumeResult":
    """In this process."""
    from telco_stream.consume.run import run_consume
    from telco_stream.display.windows import WindowReporter
    from telco_stream.monitoring.snapshot import ConsumerStats

    stats = ConsumerStats(session.clients.unavailable_for)
    observers: list[RunObserver] = [stats]
    if order.mode == "batch":
        observers.insert(0, WindowReporter(session.screen.window))
    with session.live(_view(session, order, stats.snapshot)):
        return run_consume(session.clients, scorer, order, stop=stop, observers=observers)


def _run_workers(session: "Session", order: "ConsumeOptions", engine: Engine, count: int) -> "ConsumeResult":
    """The same in several processes; the model has been checked here, and is loaded by each."""
    from telco_stream.consume.run import WorkerTask, decide_first_start, new_transactional_id
    from telco_stream.consume.workers.aggregate import WorkerAggregator
    from telco_stream.consume.workers.supervisor import run_workers
    from telco_stream.errors import UsageError
    from telco_stream.runtime.signals import Stopped

    if order.mode == "batch" or order.max_messages or order.idle_timeout:
        raise UsageError("--workers runs until it is stopped: leave out --mode batch, --max-messages, --idle-timeout")
    name = new_transactional_id(session.settings)
    folder, drawn = session.model_folder(), session.has_live_view
    settings = session.settings
    with suppress(Stopped):  # a run that is to stop already ends by itself
        settings, order = decide_first_start(session.clients, order, session.stop)
    task = WorkerTask(settings, folder, engine, order, session.timeout, session.talk, name, drawn)
    aggregator = WorkerAggregator(session.screen.log)
    with session.live(_view(session, order, aggregator.snapshot, f"{count} workers")):
        return run_workers(task, count, stop=session.stop, aggregator=aggregator)


def _view(
    session: "Session", order: "ConsumeOptions", snapshot: "Callable[[], ConsumerSnapshot]", *details: str
) -> "ConsumeView":
    """Return the live view of the run."""
    from time import monotonic

    from telco_stream.display.consume_view import ConsumeRun, ConsumeView

    title = " · ".join((f"consume {order.mode}", order.delivery.replace("-", " "), *details))
    run = ConsumeRun(title, lambda: session.stop.requested, order.mode == "batch", order.max_messages)
    return ConsumeView(run, snapshot, monotonic)
