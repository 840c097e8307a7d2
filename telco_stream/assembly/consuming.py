"""One run of `consume`: its parts, put together."""

import logging
import math
from collections.abc import Iterable, Mapping
from contextlib import closing, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from uuid import uuid4

from telco_stream import consume as consuming
from telco_stream import logs
from telco_stream.assembly import Mode, Promise
from telco_stream.batch import Limits
from telco_stream.clock import now
from telco_stream.collector import seldom_collecting
from telco_stream.contracts.scoring import Scorer
from telco_stream.kafka.clients import Clients
from telco_stream.kafka.cluster import Cluster
from telco_stream.kafka.consumer_errors import ConsumerErrors
from telco_stream.kafka.delivery import AtLeastOnce, Delivery, ExactlyOnce
from telco_stream.kafka.first_start import IfAnswered, choose_reset
from telco_stream.kafka.identity import TopicIdentity
from telco_stream.kafka.rights import Rights
from telco_stream.kafka.sink import Sink
from telco_stream.kafka.source import Source, Subscription
from telco_stream.kafka.starts import TopicToRead
from telco_stream.kafka.topics import compacted_topics, compaction_warning
from telco_stream.kafka.transactions import Transactions, transactions_under
from telco_stream.model.artifact import Engine, load_scorer
from telco_stream.observing import NOBODY, Eyes, Onlooker, Watching, looking_on
from telco_stream.settings import Settings
from telco_stream.stop import Stop, Stopped
from telco_stream.tally import ConsumeResult, Plan
from telco_stream.telling import Teller

log = logging.getLogger("telco_stream.consume")

#: The client property that makes a process a static member of its group.
_INSTANCE_ID = "group.instance.id"


@dataclass(frozen=True, slots=True)
class ConsumeOrder:
    """What one run of `consume` is asked for, beside the settings."""

    mode: Mode = "streaming"
    delivery: Promise = "exactly-once"
    max_messages: int | None = None
    idle_timeout: float | None = None
    top_k: int = 10
    watching: Watching = NOBODY
    if_answered: IfAnswered = "refuse"


@dataclass(frozen=True, slots=True)
class ConsumeInSlot:
    """What one of several workers does; sent to its process, where it makes clients and model of its own."""

    settings: Settings
    model: Path
    engine: Engine
    order: ConsumeOrder
    timeout: float
    talk: Mapping[str, bool]
    #: Common to all workers of this run; with the slot it is a transactional id that a replacement takes over.
    name: str
    #: Whether the parent draws what the workers look like.
    drawn: bool = False

    def __call__(self, slot: int, stop: Stop, teller: Teller) -> ConsumeResult:
        """Consume until stopped."""
        logs.configure(**self.talk)
        consumer = self.settings.consumer.model_copy(update={"transactional_id": f"{self.name}-{slot}"})
        settings = self.settings.model_copy(update={"consumer": consumer, "kafka": self._properties(slot)})
        clients = Clients(settings, self.timeout)
        order = replace(self.order, watching=self.order.watching.in_slot(slot))
        with teller.showing(clients.away) if self.drawn else nullcontext():
            scorer = load_scorer(self.model, self.engine, consumer.scoring_threads)
            return run_consume(clients, scorer, order, stop=stop, watch=teller)

    def _properties(self, slot: int) -> dict[str, str]:
        """Return the client properties of one worker: two members with the same instance ID fence each other."""
        properties = dict(self.settings.kafka)
        if _INSTANCE_ID in properties:
            properties[_INSTANCE_ID] += f"-{slot}"
        return properties


def decide_first_start(clients: Clients, order: ConsumeOrder, stop: Stop) -> tuple[Settings, ConsumeOrder]:
    """Check once for all workers whether the group has answered its topic before; return what the workers are given.

    Each worker alone would see the answers of the others.
    """
    settings, raw = clients.settings, clients.settings.topics.raw
    topic_id = Cluster(clients, stop).topic_ids(raw)[raw]
    reset = choose_reset(clients, topic_id, order.if_answered, stop)
    consumer = settings.consumer.model_copy(update={"auto_offset_reset": reset})
    return settings.model_copy(update={"consumer": consumer}), replace(order, if_answered="restart")


def run_consume(clients: Clients, scorer: Scorer, order: ConsumeOrder, *, stop: Stop, watch: Onlooker) -> ConsumeResult:
    """Consume until a bound is met or somebody stops it; the group is left in any case."""
    clients.on_refused = stop.fail
    with looking_on(order.watching, clients, scorer, stop=stop, watch=watch) as eyes, seldom_collecting():
        try:
            result = _consume(clients, order, stop, eyes)
        except Stopped:  # while the broker was being asked, before the loop
            result = consuming.nothing_consumed(_plan(order, clients, Limits()))
        stop.raise_failure()
    done = {name: getattr(result, name) for name in ("stopped_by", "consumed", "predicted", "dead_lettered", "seconds")}
    logs.tell_end("consume", **done)
    return result


def new_transactional_id(settings: Settings) -> str:
    """The one that is set, else one that nobody else has."""
    return settings.consumer.transactional_id or f"{settings.consumer.group_id}-{uuid4()}"


def _consume(clients: Clients, order: ConsumeOrder, stop: Stop, eyes: Eyes) -> ConsumeResult:
    settings, cluster = clients.settings, Cluster(clients, stop)
    partitions = cluster.partitions(settings.topics.raw, settings.topics.predictions, settings.topics.deadletter)
    _check_rights(Rights(clients, cluster), settings)
    topic_id = cluster.topic_ids(settings.topics.raw)[settings.topics.raw]
    plan = _plan(order, clients, _limits(cluster, settings), topic_id)
    reset = choose_reset(clients, topic_id, order.if_answered, stop)
    topic = TopicToRead(settings.topics.raw, cluster.ask_offsets, topic_id, partitions[settings.topics.raw], reset)
    identity = TopicIdentity(topic.name, topic_id, partial(cluster.describe_topic, topic.name))
    subscription = Subscription(topic, identity, clients.is_incremental())
    until = None
    if order.mode == "batch":
        # What is written, not what can be read yet: a transaction just committed becomes visible a moment later.
        until = cluster.ends(settings.topics.raw, range(partitions[settings.topics.raw]), committed_only=False)
    _tell_start(order, settings, eyes.scorer)
    _warn_of_compaction(cluster, partitions)
    # Ends that are seen tell a partition that has nothing more from one that stands still.
    consumer = clients.consumer(settings.consumer.group_id, enable_partition_eof="true")
    errors = ConsumerErrors(
        clients.timeout if _is_bounded(order) else math.inf, counts=clients.errors, too_large=lambda: clients.too_large
    )
    with closing(Source(consumer, subscription, stop, until=until, errors=errors)) as source, eyes.on(source):
        delivery: Delivery
        if order.delivery == "exactly-once":
            transactions = _transactions(clients, stop)
            eyes.count(transactions)
            delivery = ExactlyOnce(transactions, source, settings.topics)
        else:
            delivery = AtLeastOnce(Sink(clients.producer(), stop), source, settings.topics)
        return consuming.consume(source, delivery, eyes.scorer, plan, now=now, stop=stop, watch=eyes.watch)


def _is_bounded(order: ConsumeOrder) -> bool:
    """Whether the run is to end by itself, so that nobody waits for a group that refuses this member."""
    return order.mode == "batch" or order.idle_timeout is not None or order.max_messages is not None


def _tell_start(order: ConsumeOrder, settings: Settings, scorer: Scorer) -> None:
    topics = settings.topics
    promised = {"mode": order.mode, "delivery": order.delivery, "group": settings.consumer.group_id}
    names = {"raw": topics.raw, "predictions": topics.predictions, "deadletter": topics.deadletter}
    logs.tell_start("consume", **promised, **names, model_version=scorer.version, engine=scorer.engine)


def _warn_of_compaction(cluster: Cluster, topics: Iterable[str]) -> None:
    for topic in compacted_topics(cluster, *topics):
        log.warning("%s", compaction_warning(topic), extra={"event": "compacted_topic", "facts": {"topic": topic}})


def _plan(order: ConsumeOrder, clients: Clients, limits: Limits, topic_id: str | None = None) -> Plan:
    consumer = clients.settings.consumer
    return Plan(
        mode=order.mode,
        batch_size=consumer.window_size if order.mode == "batch" else consumer.max_poll_records,
        limits=limits,
        max_messages=order.max_messages,
        idle_timeout=order.idle_timeout,
        join_timeout=clients.timeout,
        max_dead_letters_in_a_row=consumer.max_consecutive_dead_letters,
        top_k=order.top_k,
        topic_id=topic_id,
    )


def _check_rights(rights: Rights, settings: Settings) -> None:
    rights.need_read(settings.topics.raw)
    rights.need_group(settings.consumer.group_id)
    rights.need_write(settings.topics.predictions, settings.topics.deadletter)


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
    return transactions_under(name, clients, stop, own_id=consumer.transactional_id is None)
