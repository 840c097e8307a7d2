"""One run of `produce`: its parts, put together."""

import logging
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from telco_stream.csv.reader import fingerprint, resolved_path
from telco_stream.errors import KafkaError, UsageError
from telco_stream.kafka.clients import Clients
from telco_stream.kafka.cluster import Cluster
from telco_stream.kafka.permissions import Permissions
from telco_stream.kafka.sink import Sink
from telco_stream.monitoring import NO_MONITORING, MonitoringOptions, monitor_produce
from telco_stream.monitoring.protocols import ProduceObserver, SendCounters
from telco_stream.produce import loop as producing
from telco_stream.produce.checkpoint import CheckpointFile
from telco_stream.produce.loop import Job, ProduceDeps, ProduceResult, Schedule, SendTotals
from telco_stream.produce.progress import PassKey
from telco_stream.produce.writer import AtLeastOnceWriter, ExactlyOnceWriter, group_of
from telco_stream.runtime import logs
from telco_stream.runtime.bundled import bundled
from telco_stream.runtime.choices import DeliveryGuarantee, Mode
from telco_stream.runtime.clock import now
from telco_stream.runtime.gc_tuning import reduced_gc
from telco_stream.runtime.signals import Stop, Stopped
from telco_stream.settings import Settings

log = logging.getLogger("telco_stream.produce.loop")

#: Seconds that a question may take once somebody has asked to stop.
_LAST_QUESTION = 1.0
#: Kafka keeps it with the file's full name in a note of 4 KiB.
_LONGEST_RUN_ID = 255


@dataclass(frozen=True, slots=True)
class ProduceOptions:
    """What one run of `produce` is asked for, beside the settings; no `delivery` means the mode's own."""

    mode: Mode
    delivery: DeliveryGuarantee | None = None
    run_id: str | None = None
    limit: int | None = None
    seed: int | None = None
    restart: bool = False
    monitoring: MonitoringOptions = NO_MONITORING


def run_produce(clients: Clients, order: ProduceOptions, *, stop: Stop, watch: ProduceObserver) -> ProduceResult:
    """Send the file once, or random rows of it for as long as is asked; stopped before it begins, it sends nothing."""
    promise = _delivery_guarantee(order)
    target = clients.settings.producer.events_per_sec if order.mode == "streaming" else 0.0
    clients.on_refused = stop.fail
    with monitor_produce(order.monitoring, clients, target, watch) as observer, reduced_gc():
        result = _produce(clients, order, promise, stop, observer)
        stop.raise_failure()
    logs.log_end("produce", sent=result.sent, failed=result.failed, seconds=result.seconds)
    return result


def data_path(settings: Settings) -> Path:
    """The customers to send: as set, else the sample that comes with the package."""
    return Path(settings.producer.data_path or bundled("data/sample_customers.csv"))


def _produce(
    clients: Clients, order: ProduceOptions, promise: DeliveryGuarantee, stop: Stop, observer: ProduceObserver
) -> ProduceResult:
    settings, topic = clients.settings, clients.settings.topics.raw
    path = data_path(settings)
    writer, sent = None, SendTotals(0, None, 0.0)
    with suppress(Stopped):
        with stop.interrupting():  # the file is read whole, and may be long
            of = PassKey(resolved_path(path), fingerprint(path), topic, order.run_id)
        cluster = Cluster(clients, stop)
        cluster.partitions(topic)  # refuse a missing topic before the first row
        of = replace(of, topic_id=cluster.topic_ids(topic)[topic])
        _check_permissions(Permissions(clients, cluster), of, promise)
        writer = _writer(clients, promise, of, stop)
        observer.attach(SendCounters(writer.failed, writer.outcomes))
        logs.log_start("produce", mode=order.mode, delivery=promise, topic=topic, run_id=order.run_id, file=path.name)
        job = Job(of, path, settings.producer.batch_size, order.limit, order.restart)
        # A stream has nothing to resume, and exactly once Kafka keeps the progress.
        needs_file = order.mode == "batch" and not writer.stores_progress
        checkpoint = CheckpointFile(Path(settings.producer.checkpoint_file), is_needed=needs_file)
        deps = ProduceDeps(writer, checkpoint, now, stop, observer)
        if order.mode == "batch":
            sent = producing.produce_pass(job, deps)
        else:
            sent = producing.produce_stream(job, Schedule(settings.producer.events_per_sec, order.seed), deps)
    return ProduceResult(
        mode=order.mode,
        topic=topic,
        run_id=order.run_id,
        sent=sent.rows,
        failed=writer.unconfirmed() if writer else 0,
        resumed_from=sent.resumed_from,
        end_offsets=_ends(clients, topic, stop) if writer else {},
        seconds=round(sent.seconds, 3),
        rate=round(sent.rows / sent.seconds, 1) if sent.seconds else 0.0,
    )


def _delivery_guarantee(order: ProduceOptions) -> DeliveryGuarantee:
    """A stream of random rows has none that could be sent twice, so only a pass can promise exactly once."""
    if order.run_id is not None:
        _check_run_id(order.run_id)
    if order.mode == "batch":
        return order.delivery or "exactly-once"
    if order.delivery == "exactly-once":
        raise UsageError("--delivery exactly-once goes with --mode batch: random rows have no place to resume from")
    if order.run_id is not None:
        raise UsageError("--run-id goes with --mode batch: a stream has no end to remember")
    return "at-least-once"


def _check_run_id(run_id: str) -> None:
    if not run_id:
        raise UsageError("--run-id is empty: a run without a name is one without the option")
    if len(run_id) > _LONGEST_RUN_ID:
        raise UsageError(f"--run-id is longer than {_LONGEST_RUN_ID} characters")
    try:
        run_id.encode()
    except UnicodeEncodeError:
        raise UsageError("--run-id is not UTF-8 text") from None


def _writer(
    clients: Clients, promise: DeliveryGuarantee, of: PassKey, stop: Stop
) -> AtLeastOnceWriter | ExactlyOnceWriter:
    if promise == "exactly-once":
        return ExactlyOnceWriter(clients, of, stop)
    return AtLeastOnceWriter(Sink(clients.producer(), stop))


def _check_permissions(rights: Permissions, of: PassKey, promise: DeliveryGuarantee) -> None:
    rights.require_write(of.topic)
    if promise == "exactly-once":  # the progress is a group's offset of the topic
        rights.require_read(of.topic)
        rights.require_group(group_of(of))


def _ends(clients: Clients, topic: str, stop: Stop) -> Mapping[int, int]:
    """Where the partitions end; nothing where Kafka doesn't say: what was sent is confirmed all the same.

    The partitions are those of now: some may have been added while rows were sent. Asked without the wish to stop,
    which has ended the sending, not this, but leaves little time.
    """
    patience = _LAST_QUESTION if stop.requested else clients.timeout
    try:
        cluster = Cluster(Clients(clients.settings, patience))
        return cluster.ends(topic, range(cluster.partitions(topic)[topic]), committed_only=False)
    except KafkaError as error:
        log.warning("the end offsets are not known: %s", error)
        return {}
