"""One run of `consume`: its parts, put together."""

import logging
import math
from collections.abc import Iterable, Mapping
from contextlib import closing, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from uuid import uuid4

from telco_stream.consume import loop as consuming
from telco_stream.consume.counters import ConsumePlan, ConsumeResult
from telco_stream.consume.delivery import AtLeastOnce, Delivery, ExactlyOnce
from telco_stream.consume.workers.messages import WorkerReporter
from telco_stream.kafka.clients import Clients
from telco_stream.kafka.cluster import Cluster
from telco_stream.kafka.consumer_errors import ConsumerErrors
from telco_stream.kafka.first_start import IfAnswered, choose_reset
from telco_stream.kafka.identity import TopicIdentity
from telco_stream.kafka.permissions import Permissions
from telco_stream.kafka.sink import Sink
from telco_stream.kafka.source import Source, Subscription
from telco_stream.kafka.starts import TopicToRead
from telco_stream.kafka.topics import compacted_topics, compaction_warning
from telco_stream.kafka.transactions import Transactions, transactions_under
from telco_stream.model.artifact import load_scorer
from telco_stream.model.scorer import Scorer
from telco_stream.monitoring import NO_MONITORING, MonitoringOptions, RunMonitor, RunObserver, monitor_run
from telco_stream.runtime import logs
from telco_stream.runtime.choices import DeliveryGuarantee, Engine, Mode
from telco_stream.runtime.clock import now
from telco_stream.runtime.gc_tuning import reduced_gc
from telco_stream.runtime.signals import Stop, Stopped
from telco_stream.scoring import Limits
from telco_stream.settings import Settings

log = logging.getLogger("telco_stream.consume.loop")

#: The client property that makes a process a static member of its group.
_INSTANCE_ID = "group.instance.id"


@dataclass(frozen=True, slots=True)
class ConsumeOptions:
    """What one run of `consume` is asked for, beside the settings."""

    mode: Mode = "streaming"
    delivery: DeliveryGuarantee = "exactly-once"
    max_messages: int | None = None
    idle_timeout: float | None = None
    top_k: int = 10
    watching: MonitoringOptions = NO_MONITORING
    if_answered: IfAnswered = "refuse"


@dataclass(frozen=True, slots=True)
class WorkerTask:
    """What one of several workers does; sent to its process, where it makes clients and model of its own."""

    settings: Settings
    model: Path
    engine: Engine
    order: ConsumeOptions
    timeout: float
    talk: Mapping[str, bool]
    #: Common to all workers of this run; with the slot it is a transactional id that a replacement takes over.
    name: str
    #: Whether the parent draws what the workers look like.
    drawn: bool = False

    def __call__(self, slot: int, stop: Stop, teller: WorkerReporter) -> ConsumeResult:
        """Consume until stopped."""
        logs.configure(**self.talk)
        consumer = self.settings.consumer.model_copy(update={"transactional_id": f"{self.name}-{slot}"})
        settings = self.settings.model_copy(update={"consumer": consumer, "kafka": self._properties(slot)})
        clients = Clients(settings, self.timeout)
        order = replace(self.order, watching=self.order.watching.in_slot(slot))
        with teller.showing(clients.unavailable_for) if self.drawn else nullcontext():
            scorer = load_scorer(self.model, self.engine, consumer.scoring_threads)
            return run_consume(clients, scorer, order, stop=stop, watch=teller)

    def _properties(self, slot: int) -> dict[str, str]:
        """Return the client properties of one worker: two members with the same instance ID fence each other."""
        properties = dict(self.settings.kafka)
        if _INSTANCE_ID in properties:
            properties[_INSTANCE_ID] += f"-{slot}"
        return properties


def decide_first_start(clients: Clients, order: ConsumeOptions, stop: Stop) -> tuple[Settings, ConsumeOptions]:
    """Check once for all workers whether the group has answered its topic before; return what the workers are given.

    Each worker alone would see the answers of the others.
    """
    settings, raw = clients.settings, clients.settings.topics.raw
    topic_id = Cluster(clients, stop).topic_ids(raw)[raw]
    reset = choose_reset(clients, topic_id, order.if_answered, stop)
    consumer = settings.consumer.model_copy(update={"auto_offset_reset": reset})
    return settings.model_copy(update={"consumer": consumer}), replace(order, if_answered="restart")


def run_consume(
    clients: Clients, scorer: Scorer, order: ConsumeOptions, *, stop: Stop, watch: RunObserver
) -> ConsumeResult:
    """Consume until a bound is met or somebody stops it; the group is left in any case."""
    clients.on_refused = stop.fail
    with monitor_run(order.watching, clients, scorer, stop=stop, watch=watch) as eyes, reduced_gc():
        try:
            result = _consume(clients, order, stop, eyes)
        except Stopped:  # while the broker was being asked, before the loop
            result = consuming.nothing_consumed(_plan(order, clients, Limits()))
        stop.raise_failure()
    done = {name: getattr(result, name) for name in ("stopped_by", "consumed", "predicted", "dead_lettered", "seconds")}
    logs.log_end("consume", **done)
    return result


def new_transactional_id(settings: Settings) -> str:
    """The one that is set, else one that nobody else has."""
    return settings.consumer.transactional_id or f"{settings.consumer.group_id}-{uuid4()}"


def _consume(clients: Clients, order: ConsumeOptions, stop: Stop, eyes: RunMonitor) -> ConsumeResult:
    settings, cluster = clients.settings, Cluster(clients, stop)
    partitions = cluster.partitions(settings.topics.raw, settings.topics.predictions, settings.topics.deadletter)
    _check_permissions(Permissions(clients, cluster), settings)
    topic_id = cluster.topic_ids(settings.topics.raw)[settings.topics.raw]
    plan = _plan(order, clients, _limits(cluster, settings), topic_id)
    reset = choose_reset(clients, topic_id, order.if_answered, stop)
    topic = TopicToRead(settings.topics.raw, cluster.ask_offsets, topic_id, partitions[settings.topics.raw], reset)
    until = None
    if order.mode == "batch":
        # What is written, not what can be read yet: a transaction just committed becomes visible a moment later.
        until = cluster.ends(settings.topics.raw, range(partitions[settings.topics.raw]), committed_only=False)
    _log_start(order, settings, eyes.scorer)
    _warn_of_compaction(cluster, partitions)
    # Ends that are seen tell a partition that has nothing more from one that stands still.
    consumer = clients.consumer(settings.consumer.group_id, enable_partition_eof="true")
    errors = ConsumerErrors(
        clients.timeout if _is_bounded(order) else math.inf, counts=clients.errors, too_large=lambda: clients.too_large
    )
    identity = TopicIdentity(topic.name, topic_id, partial(cluster.describe_topic, topic.name))
    subscription = Subscription(topic, identity, clients.is_incremental())
    with closing(Source(consumer, subscription, stop, until=until, errors=errors)) as source, eyes.on(source):
        delivery: Delivery
        if order.delivery == "exactly-once":
            transactions = _transactions(clients, stop)
            eyes.count(transactions)
            delivery = ExactlyOnce(transactions, source, settings.topics)
        else:
            delivery = AtLeastOnce(Sink(clients.producer(), stop), source, settings.topics)
        return consuming.consume(source, delivery, eyes.scorer, plan, now=now, stop=stop, watch=eyes.watch)


def _is_bounded(order: ConsumeOptions) -> bool:
    """Whether the run is to end by itself, so that nobody waits for a group that refuses this member."""
    return order.mode == "batch" or order.idle_timeout is not None or order.max_messages is not None


def _log_start(order: ConsumeOptions, settings: Settings, scorer: Scorer) -> None:
    topics = settings.topics
    promised = {"mode": order.mode, "delivery": order.delivery, "group": settings.consumer.group_id}
    names = {"raw": topics.raw, "predictions": topics.predictions, "deadletter": topics.deadletter}
    logs.log_start("consume", **promised, **names, model_version=scorer.version, engine=scorer.engine)


def _warn_of_compaction(cluster: Cluster, topics: Iterable[str]) -> None:
    for topic in compacted_topics(cluster, *topics):
        log.warning("%s", compaction_warning(topic), extra={"event": "compacted_topic", "facts": {"topic": topic}})


def _plan(order: ConsumeOptions, clients: Clients, limits: Limits, topic_id: str | None = None) -> ConsumePlan:
    consumer = clients.settings.consumer
    return ConsumePlan(
        mode=order.mode,
        batch_size=consumer.window_size if order.mode == "batch" else consumer.max_poll_records,
        limits=limits,
        max_messages=order.max_messages,
        idle_timeout=order.idle_timeout,
        join_timeout=clients.timeout,
        max_consecutive_dead_letters=consumer.max_consecutive_dead_letters,
        top_k=order.top_k,
        topic_id=topic_id,
    )


def _check_permissions(rights: Permissions, settings: Settings) -> None:
    rights.require_read(settings.topics.raw)
    rights.require_group(settings.consumer.group_id)
    rights.require_write(settings.topics.predictions, settings.topics.deadletter)


def _limits(cluster: Cluster, settings: Settings) -> Limits:
    """What the topics take, as far as may be asked."""
    topics = settings.topics
    usual = Limits(letter=topics.deadletter_max_message_bytes)
    return Limits(
        prediction=cluster.largest_message(topics.predictions, usual.prediction),
        letter=min(cluster.largest_message(topics.deadletter, usual.letter), usual.letter),
    )


def _transactions(clients: Clients, stop: Stop) -> Transactions:
    consumer, name = clients.settings.consumer, new_transactional_id(clients.settings)
    return transactions_under(name, clients, stop, has_unique_id=consumer.transactional_id is None)
