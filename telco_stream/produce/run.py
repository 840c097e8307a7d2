"""One run of `produce` or `outcomes send`."""

import logging
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from telco_stream.csv.header import log_ignored_columns
from telco_stream.csv.reader import count_lines_after_header, fingerprint, read_layout, resolved_path
from telco_stream.csv.validation import CsvFormat
from telco_stream.errors import DataError, KafkaError, UsageError
from telco_stream.kafka.clients import Clients
from telco_stream.kafka.cluster import Cluster
from telco_stream.kafka.permissions import require_group, require_read, require_write
from telco_stream.kafka.reading import ends_after_commit
from telco_stream.kafka.sink import Sink
from telco_stream.monitoring import NO_MONITORING, MonitoringOptions, monitor_produce
from telco_stream.monitoring.protocols import ProduceObserver
from telco_stream.produce.loop import ProduceDeps, ProducePlan, produce_pass
from telco_stream.produce.progress import CheckpointFile, PassKey, describe_format
from telco_stream.produce.results import ProduceResult, SendResult
from telco_stream.produce.rows import BadRowsFile
from telco_stream.produce.stream import produce_stream
from telco_stream.produce.writer import AtLeastOnceWriter, ExactlyOnceWriter, group_of
from telco_stream.runtime import logs
from telco_stream.runtime.choices import DeliveryGuarantee, Mode
from telco_stream.runtime.clock import utc_timestamp
from telco_stream.runtime.files import bundled
from telco_stream.runtime.gc_tuning import reduced_gc
from telco_stream.runtime.signals import Stop, Stopped
from telco_stream.settings import Settings

log = logging.getLogger("telco_stream.produce.loop")

#: Timeout in seconds for the end offsets after a stop request.
_TIMEOUT_WHEN_STOPPING = 1.0
#: Maximum length of a run ID, which is stored with the file's full name in metadata of at most 4 KiB.
_MAX_RUN_ID = 255


@dataclass(frozen=True, slots=True)
class ProduceOptions:
    """Options of one run of `produce` that are not settings; without `delivery`, the mode's default applies."""

    mode: Mode
    delivery: DeliveryGuarantee | None = None
    run_id: str | None = None
    limit: int | None = None
    seed: int | None = None
    restart: bool = False
    #: File for the bad rows of a pass, which are then skipped.
    bad_rows: Path | None = None
    monitoring: MonitoringOptions = NO_MONITORING
    csv_format: CsvFormat = field(default_factory=CsvFormat)
    #: What to send instead of the customers.
    target: "Target | None" = None

    @property
    def command(self) -> str:
        """Return the command, for the log."""
        return "outcomes send" if self.target else "produce"


@dataclass(frozen=True, slots=True)
class Target:
    """A file to send, the topic for its rows, and the file for the progress."""

    path: Path
    topic: str
    checkpoint_file: Path


def run_produce(clients: Clients, options: ProduceOptions, *, stop: Stop, observer: ProduceObserver) -> ProduceResult:
    """Send the file once, or random rows of it until stopped; a stop request before the start sends nothing."""
    delivery = _delivery_guarantee(options)
    target = clients.settings.producer.events_per_sec if options.mode == "streaming" else 0.0
    clients.on_refused = stop.fail
    with monitor_produce(options.monitoring, clients, target, observer) as run_observer, reduced_gc():
        result = _produce(clients, options, delivery, stop, run_observer)
        stop.raise_failure()
    logs.log_end(options.command, sent=result.sent, failed=result.failed, seconds=result.seconds)
    return result


def customers(settings: Settings) -> Target:
    """Return the customers to send, as set, or those of the bundled sample."""
    path = Path(settings.producer.data_path or bundled("data/sample_customers.csv"))
    return Target(path, settings.topics.raw, Path(settings.producer.checkpoint_file))


def _produce(
    clients: Clients, options: ProduceOptions, delivery: DeliveryGuarantee, stop: Stop, observer: ProduceObserver
) -> ProduceResult:
    target = options.target or customers(clients.settings)
    writer, sent = None, SendResult(0, None, 0.0)
    with suppress(Stopped):
        plan = _plan(clients, options, target, delivery, stop)
        writer = _make_writer(clients, delivery, plan.key, stop)
        observer.attach(writer.counters)
        _log_start(options, delivery, target)
        # A stream is never resumed, and exactly once, Kafka stores the progress.
        needs_file = options.mode == "batch" and not writer.stores_progress
        checkpoint = CheckpointFile(target.checkpoint_file, is_needed=needs_file)
        send = produce_pass if options.mode == "batch" else produce_stream
        sent = send(plan, ProduceDeps(writer, checkpoint, utc_timestamp, stop, observer))
    return ProduceResult(
        mode=options.mode,
        topic=target.topic,
        run_id=options.run_id,
        sent=sent.rows,
        failed=writer.unconfirmed() if writer else 0,
        resumed_from=sent.resumed_from,
        end_offsets=_end_offsets(clients, target.topic, stop) if writer else {},
        seconds=round(sent.seconds, 3),
        rate=round(sent.rows / sent.seconds, 1) if sent.seconds else 0.0,
        stopped_by=sent.stopped_by,
        bad_rows=sent.bad_rows,
        rows_done=sent.position,
        rows_total=_count_rows(target.path, options, sent) if options.mode == "batch" else None,
        sent_again=sent.is_repeat and sent.rows > 0,
    )


def _log_start(options: ProduceOptions, delivery: DeliveryGuarantee, target: Target) -> None:
    facts = {"mode": options.mode, "delivery": delivery, "topic": target.topic, "run_id": options.run_id}
    facts["file"] = target.path.name
    until = {} if options.mode == "batch" or options.limit else {"until": "signal"}
    logs.log_start(options.command, **facts, **until)


def _count_rows(path: Path, options: ProduceOptions, sent: SendResult) -> int | None:
    """Return the number of rows in the file, or an estimate if the pass is unfinished; None if that is too low."""
    if sent.stopped_by in {"end", "already-complete"}:
        return sent.position
    with suppress(DataError):
        rows = count_lines_after_header(path, options.csv_format.delimiter)
        return rows if rows >= (sent.position or 0) else None
    return None


def _plan(
    clients: Clients, options: ProduceOptions, target: Target, delivery: DeliveryGuarantee, stop: Stop
) -> ProducePlan:
    """Read the file's header and fingerprint; check that the topic exists and the run has the permissions it needs."""
    producer, path, topic = clients.settings.producer, target.path, target.topic
    bad_rows = BadRowsFile(options.bad_rows, path, options.csv_format) if options.bad_rows else None
    with stop.interrupting():  # the whole file is read for the fingerprint, which can take long
        content = fingerprint(path)
    log_ignored_columns(read_layout(path, options.csv_format), options.csv_format)
    cluster = Cluster(clients, stop)
    cluster.partitions(topic)  # fail before the first row if the topic is missing
    topic_id, row_format = cluster.topic_ids(topic)[topic], describe_format(options.csv_format)
    key = PassKey(resolved_path(path), content, topic, options.run_id, topic_id, row_format)
    require_write(cluster, topic)
    if delivery == "exactly-once":  # the progress is stored as an offset of the topic, committed by a group
        require_read(cluster, topic)
        require_group(cluster, group_of(key))
    return ProducePlan(
        key,
        path,
        producer.batch_size,
        options.limit,
        options.restart,
        producer.events_per_sec,
        options.seed,
        bad_rows,
        options.csv_format,
    )


def _delivery_guarantee(options: ProduceOptions) -> DeliveryGuarantee:
    """Check the options and return the delivery guarantee; exactly once requires a pass, whose progress is stored."""
    if options.run_id is not None:
        _check_run_id(options.run_id)
    if options.mode == "batch":
        return options.delivery or "exactly-once"
    if options.delivery == "exactly-once":
        raise UsageError("--delivery exactly-once requires --mode batch: a stream of random rows is never resumed")
    if options.run_id is not None:
        raise UsageError("--run-id requires --mode batch: a stream never finishes")
    if options.bad_rows is not None:
        raise UsageError("--bad-rows requires --mode batch: a stream draws from a file without bad rows")
    return "at-least-once"


def _check_run_id(run_id: str) -> None:
    if not run_id:
        raise UsageError("--run-id is empty; omit it for a run without an ID")
    if len(run_id) > _MAX_RUN_ID:
        raise UsageError(f"--run-id is longer than {_MAX_RUN_ID} characters")
    try:
        run_id.encode()
    except UnicodeEncodeError:
        raise UsageError("--run-id is not UTF-8 text") from None


def _make_writer(
    clients: Clients, delivery: DeliveryGuarantee, key: PassKey, stop: Stop
) -> AtLeastOnceWriter | ExactlyOnceWriter:
    largest_batch = Cluster(clients, stop).largest_message(key.topic, 0) or None
    if delivery == "exactly-once":
        return ExactlyOnceWriter(clients, key, stop, largest_batch)
    return AtLeastOnceWriter(Sink(clients.producer(largest_batch=largest_batch), stop))


def _end_offsets(clients: Clients, topic: str, stop: Stop) -> Mapping[int, int]:
    """Query the end offsets of all current partitions; return none if that fails, since the rows are confirmed anyway.

    The query doesn't observe the stop request, but after one its timeout is short.
    """
    timeout = _TIMEOUT_WHEN_STOPPING if stop.requested else clients.timeout
    try:
        return ends_after_commit(Cluster(Clients(clients.settings, timeout)), topic)
    except KafkaError as error:
        log.warning("the end offsets are unknown: %s", error)
        return {}
