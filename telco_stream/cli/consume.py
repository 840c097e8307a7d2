"""`telco-stream consume`."""

from contextlib import suppress
from typing import TYPE_CHECKING, Annotated

import typer

from telco_stream.cli import options
from telco_stream.cli.session import Session
from telco_stream.errors import UsageError
from telco_stream.runtime.choices import Baseline, Engine, Mode, ReasonsFor

if TYPE_CHECKING:
    from collections.abc import Callable

    from telco_stream.consume.counters import ConsumeResult
    from telco_stream.consume.first_start import IfAnswered
    from telco_stream.consume.run import ConsumeOptions
    from telco_stream.contract.schema import Contract
    from telco_stream.display.consume_view import ConsumeView
    from telco_stream.kafka.cluster import Cluster
    from telco_stream.model.serving import Models
    from telco_stream.monitoring.protocols import RunObserver
    from telco_stream.monitoring.snapshot import ConsumerSnapshot


def consume(
    mode: Annotated[
        Mode, typer.Option(help="batch scores what the topic holds and ends; streaming runs until stopped.")
    ] = "streaming",
    broker: options.Broker = None,
    topic: options.Topic = None,
    group: options.Group = None,
    model: options.Model = None,
    engine: options.Engine = "auto",
    delivery: options.Delivery = "exactly-once",
    limit: Annotated[
        int | None,
        typer.Option("--limit", "--max-messages", min=1, metavar="N", help="Stop after exactly N records."),
    ] = None,
    idle_timeout: Annotated[
        float | None, typer.Option(min=0.1, metavar="SECONDS", help="Stop after SECONDS without a record.")
    ] = None,
    batch_size: Annotated[
        int | None,
        typer.Option(
            "--batch-size",
            "--window-size",
            min=1,
            metavar="N",
            help="Records that are read, scored and committed at a time; in batch mode exactly N, as a window with"
            " a summary.  [default: 1000, or at most 5000 in streaming mode]",
        ),
        options.Setting("consumer.window_size", "batch"),
        options.Setting("consumer.max_poll_records", "streaming"),
    ] = None,
    max_consecutive_dead_letters: options.MaxConsecutiveDeadLetters = None,
    workers: Annotated[
        int, typer.Option(min=1, metavar="N", help="Number of processes that share the partitions.")
    ] = 1,
    top_k: options.TopK = options.TOP_K,
    holdout_percent: Annotated[
        float,
        typer.Option(
            min=0,
            max=99,
            metavar="PERCENT",
            help="Mark the predictions of PERCENT of the keys, always the same, as control: not to be contacted.",
        ),
    ] = 0.0,
    reasons: Annotated[
        int,
        typer.Option(
            min=0,
            max=100,
            metavar="N",
            help="Add the N features with the largest effect to each prediction, as exact contributions in log-odds.",
        ),
    ] = 0,
    reasons_for: Annotated[
        ReasonsFor, typer.Option(help="Which predictions get reasons: all, or those at or above the threshold.")
    ] = "all",
    reasons_values: Annotated[
        bool, typer.Option("--reasons-values", help="Add the record's value of each of these features.")
    ] = False,
    reasons_baseline: Annotated[
        Baseline,
        typer.Option(help="Compare with all training data, or with its rows of the negative label (stayers)."),
    ] = "all",
    reasons_approximate: Annotated[
        bool,
        typer.Option(
            "--reasons-approximate",
            help="Add approximate contributions of boosted trees, which cost less than exact ones.",
        ),
    ] = False,
    no_live: options.NoLive = False,
    metrics_port: options.MetricsPort = 0,
    metrics_host: options.MetricsHost = None,
    exit_on_stall: Annotated[
        bool,
        typer.Option(
            "--exit-on-stall",
            help="Exit 3 if a partition with lag makes no progress for TELCO_STREAM_CONSUMER__STALL_SECONDS (60).",
        ),
    ] = False,
    restart: Annotated[
        bool, typer.Option("--restart", help="If the group's offsets are lost, score all records again.")
    ] = False,
    resume_from_answers: Annotated[
        bool,
        typer.Option(
            "--resume-from-answers", help="If the group's offsets are lost, continue after the newest answers."
        ),
    ] = False,
    timeout: options.Timeout = 10.0,
    output: options.Output = "table",
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
    log_format: options.LogFormat = None,
) -> None:
    """Score the records of the raw topic. Writes predictions and dead letters to their topics."""
    if restart and resume_from_answers:
        raise UsageError("--restart and --resume-from-answers cannot be combined; use one of them")
    if mode == "streaming" and top_k not in {0, options.TOP_K}:
        raise UsageError("--top-k requires --mode batch: a stream has no list of customers; use `telco-stream report`")
    if not reasons and (reasons_for != "all" or reasons_values or reasons_baseline != "all" or reasons_approximate):
        raise UsageError(
            "--reasons-for, --reasons-values, --reasons-baseline and --reasons-approximate require --reasons N"
        )
    flags = {
        "bootstrap_servers": broker,
        "topics.raw": topic,
        "consumer.group_id": group,
        "model.path": model,
        "metrics.host": metrics_host,
        "consumer.window_size" if mode == "batch" else "consumer.max_poll_records": batch_size,
        "consumer.max_consecutive_dead_letters": max_consecutive_dead_letters,
    }
    stderr = {"quiet": quiet, "verbose": verbose, "live": not no_live}
    session = Session(output, **stderr, log_format=log_format, flags=flags, timeout=timeout)
    options.check_metrics(metrics_host, metrics_port)
    stop = session.stop  # handle signals while the model is loaded
    from telco_stream.consume.run import ConsumeOptions, open_models
    from telco_stream.kafka.cluster import Cluster
    from telco_stream.model.reasons.request import ReasonRequest
    from telco_stream.monitoring import MonitoringOptions

    monitoring = MonitoringOptions(metrics_port, exit_on_stall)
    if_answered: IfAnswered = "restart" if restart else "resume" if resume_from_answers else "refuse"
    request = None
    if reasons:
        is_flagged = reasons_for == "flagged"
        request = ReasonRequest(reasons, is_flagged, reasons_values, reasons_baseline, reasons_approximate)
    run_options = ConsumeOptions(
        mode, delivery, limit, idle_timeout, top_k, monitoring, if_answered, holdout_percent, request
    )
    cluster = Cluster(session.clients, stop)  # it connects while the model is loaded
    with open_models(cluster, session.model_folder(), engine, request, follow=workers == 1) as models:
        result = (
            _run_workers(session, cluster, run_options, engine, workers, models.serving.scorer.codec.contract)
            if workers > 1
            else _run_one(session, cluster, run_options, models)
        )
    session.screen.show(result)


def _run_one(session: Session, cluster: "Cluster", run_options: "ConsumeOptions", models: "Models") -> "ConsumeResult":
    """Consume in this process."""
    from telco_stream.consume.run import run_consume
    from telco_stream.monitoring.snapshot import ConsumerStats, ProgressLog

    codec, unavailable_for = models.serving.scorer.codec, session.clients.unavailable_for
    stats = ConsumerStats(codec, unavailable_for, models.versions, models.sentences)
    observers: list[RunObserver] = [stats]
    if run_options.mode == "batch":
        from telco_stream.display.progress import WindowReporter

        observers.insert(0, WindowReporter(session.screen.window))
    elif not session.has_live_view:
        observers.append(ProgressLog())
    with session.live(lambda: _view(session, run_options, codec.contract, stats.snapshot)):
        return run_consume(cluster, models, run_options, observers=observers)


def _run_workers(
    session: Session,
    cluster: "Cluster",
    run_options: "ConsumeOptions",
    engine: Engine,
    count: int,
    contract: "Contract",
) -> "ConsumeResult":
    """Consume in several processes, each of which loads the model that this process has checked."""
    from telco_stream.consume.run import WorkerTask, decide_first_start, new_transactional_id
    from telco_stream.consume.worker_reports import WorkerAggregator
    from telco_stream.consume.workers import run_workers
    from telco_stream.runtime.signals import Stopped

    if run_options.mode == "batch" or run_options.max_messages or run_options.idle_timeout:
        raise UsageError(
            "--workers runs until stopped: remove --mode batch, --limit (--max-messages) and --idle-timeout"
        )
    name = new_transactional_id(session.settings)
    folder, drawn = session.model_folder(), session.has_live_view
    settings = session.settings
    with suppress(Stopped):  # `run_workers` ends at once if a stop is requested
        settings, run_options = decide_first_start(cluster, run_options)
    task = WorkerTask(settings, folder, engine, run_options, session.clients.timeout, session.log_options, name, drawn)
    aggregator = WorkerAggregator(session.log)
    with session.live(lambda: _view(session, run_options, contract, aggregator.snapshot, f"{count} workers")):
        return run_workers(task, count, stop=session.stop, aggregator=aggregator)


def _view(
    session: Session,
    run_options: "ConsumeOptions",
    contract: "Contract",
    snapshot: "Callable[[], ConsumerSnapshot]",
    *details: str,
) -> "ConsumeView":
    """Return the live view of the run."""
    from telco_stream.display.consume_view import ConsumeRun, ConsumeView

    title = " · ".join((f"consume {run_options.mode}", run_options.delivery.replace("-", " "), *details))
    is_batch, limit = run_options.mode == "batch", run_options.max_messages
    has_reasons = run_options.reasons is not None
    run = ConsumeRun(title, lambda: session.stop.requested, is_batch, limit, contract, has_reasons)
    return ConsumeView(run, snapshot)
