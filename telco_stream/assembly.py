"""Parts put together into runs, for the command line and the demo alike."""

import logging
from collections.abc import Mapping
from contextlib import closing, nullcontext, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, TypeAlias
from uuid import uuid4

from telco_stream import consume as consuming
from telco_stream import logs
from telco_stream import produce as producing
from telco_stream.batch import Limits
from telco_stream.checkpoint import CheckpointFile
from telco_stream.clock import now
from telco_stream.collector import seldom_collecting
from telco_stream.consume import ConsumeResult, Plan
from telco_stream.contracts.progress import Pass
from telco_stream.contracts.scoring import Scorer
from telco_stream.errors import KafkaError, UsageError
from telco_stream.kafka.clients import Clients
from telco_stream.kafka.cluster import Cluster
from telco_stream.kafka.delivery import AtLeastOnce, Delivery, ExactlyOnce
from telco_stream.kafka.outlet import AtLeastOnceOutlet, ExactlyOnceOutlet, group_of
from telco_stream.kafka.rights import Rights
from telco_stream.kafka.sink import Sink
from telco_stream.kafka.source import Source
from telco_stream.kafka.transactions import Transactions, transactions_under
from telco_stream.model.artifact import Engine, load_scorer
from telco_stream.observing import NOBODY, Eyes, Onlooker, RowEyes, RowWatch, Watching, looking_on, looking_on_rows
from telco_stream.produce import Hands, Job, ProduceResult, Schedule, Sent
from telco_stream.rows import fingerprint, full_name
from telco_stream.settings import Settings
from telco_stream.shipped import shipped
from telco_stream.stop import Stop, Stopped
from telco_stream.telling import Teller

log = logging.getLogger("telco_stream.assembly")

#: Seconds that a question may take once somebody has asked to stop.
_LAST_QUESTION = 1.0
#: Kafka keeps it with the file's full name in a note of 4 KiB.
_LONGEST_RUN_ID = 255

Mode: TypeAlias = Literal["batch", "streaming"]
Promise: TypeAlias = Literal["exactly-once", "at-least-once"]


@dataclass(frozen=True, slots=True)
class ConsumeOrder:
    """What one run of `consume` is asked for, beside the settings."""

    mode: Mode = "streaming"
    delivery: Promise = "exactly-once"
    max_messages: int | None = None
    idle_timeout: float | None = None
    top_k: int = 10
    watching: Watching = NOBODY


@dataclass(frozen=True, slots=True)
class ProduceOrder:
    """What one run of `produce` is asked for, beside the settings; no `delivery` means the mode's own."""

    mode: Mode
    delivery: Promise | None = None
    run_id: str | None = None
    limit: int | None = None
    seed: int | None = None
    restart: bool = False
    watching: Watching = NOBODY


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
        settings = self.settings.model_copy(update={"consumer": consumer})
        clients = Clients(settings, self.timeout)
        order = replace(self.order, watching=self.order.watching.in_slot(slot))
        with teller.showing(clients.away) if self.drawn else nullcontext():
            scorer = load_scorer(self.model, self.engine, consumer.scoring_threads)
            return run_consume(clients, scorer, order, stop=stop, watch=teller)


def run_consume(clients: Clients, scorer: Scorer, order: ConsumeOrder, *, stop: Stop, watch: Onlooker) -> ConsumeResult:
    """Consume until a bound is met or somebody stops it; the group is left in any case."""
    with looking_on(order.watching, clients, scorer, stop=stop, watch=watch) as eyes, seldom_collecting():
        try:
            result = _consume(clients, order, stop, eyes)
        except Stopped:  # while the broker was being asked, before the loop
            result = consuming.nothing_consumed(_plan(order, clients.settings, Limits()))
    done = {name: getattr(result, name) for name in ("stopped_by", "consumed", "predicted", "dead_lettered", "seconds")}
    logs.tell_end("consume", **done)
    return result


def _consume(clients: Clients, order: ConsumeOrder, stop: Stop, eyes: Eyes) -> ConsumeResult:
    settings, cluster = clients.settings, Cluster(clients, stop)
    partitions = cluster.partitions(settings.topics.raw, settings.topics.predictions, settings.topics.deadletter)
    _check_rights(Rights(clients, cluster), settings)
    limits = _limits(cluster, settings)
    until = None
    if order.mode == "batch":
        # What is written, not what can be read yet: a transaction just committed becomes visible a moment later.
        until = cluster.ends(settings.topics.raw, range(partitions[settings.topics.raw]), committed_only=False)
    _tell_start(order, settings, eyes.scorer)
    # Ends that are seen tell a partition that has nothing more from one that stands still.
    consumer = clients.consumer(settings.consumer.group_id, enable_partition_eof="true")
    with closing(Source(consumer, settings.topics.raw, stop, until=until)) as source, eyes.on(source):
        delivery: Delivery
        if order.delivery == "exactly-once":
            transactions = _transactions(clients, stop)
            eyes.count(transactions)
            delivery = ExactlyOnce(transactions, source, settings.topics)
        else:
            delivery = AtLeastOnce(Sink(clients.producer(), stop), source, settings.topics)
        plan = _plan(order, settings, limits)
        return consuming.consume(source, delivery, eyes.scorer, plan, now=now, stop=stop, watch=eyes.watch)


def run_produce(clients: Clients, order: ProduceOrder, *, stop: Stop, watch: RowWatch) -> ProduceResult:
    """Send the file once, or random rows of it for as long as is asked; stopped before it begins, it sends nothing."""
    promise = _promise(order)
    target = clients.settings.producer.events_per_sec if order.mode == "streaming" else 0.0
    with looking_on_rows(order.watching, clients, target, watch) as eyes, seldom_collecting():
        result = _produce(clients, order, promise, stop, eyes)
    logs.tell_end("produce", sent=result.sent, failed=result.failed, seconds=result.seconds)
    return result


def _produce(clients: Clients, order: ProduceOrder, promise: Promise, stop: Stop, eyes: RowEyes) -> ProduceResult:
    settings, topic = clients.settings, clients.settings.topics.raw
    path = data_path(settings)
    partitions, outlet, sent = 0, None, Sent(0, None, 0.0)
    with suppress(Stopped):
        with stop.interrupting():  # the file is read whole, and may be long
            of = Pass(full_name(path), fingerprint(path), topic, order.run_id)
        cluster = Cluster(clients, stop)
        partitions = cluster.partitions(topic)[topic]
        _check_rights_to_send(Rights(clients, cluster), of, promise)
        outlet = _outlet(clients, promise, of, stop)
        eyes.on(outlet)
        logs.tell_start("produce", mode=order.mode, delivery=promise, topic=topic, run_id=order.run_id, file=path.name)
        job = Job(of, path, settings.producer.batch_size, order.limit, order.restart)
        hands = Hands(outlet, CheckpointFile(Path(settings.producer.checkpoint_file)), now, stop, eyes)
        if order.mode == "batch":
            sent = producing.produce_pass(job, hands)
        else:
            sent = producing.produce_stream(job, Schedule(settings.producer.events_per_sec, order.seed), hands)
    return ProduceResult(
        mode=order.mode,
        topic=topic,
        run_id=order.run_id,
        sent=sent.rows,
        failed=outlet.unconfirmed() if outlet else 0,
        resumed_from=sent.resumed_from,
        end_offsets=_ends(clients, topic, partitions, stop),
        seconds=round(sent.seconds, 3),
        rate=round(sent.rows / sent.seconds, 1) if sent.seconds else 0.0,
    )


def data_path(settings: Settings) -> Path:
    """The customers to send: as set, else the sample that comes with the package."""
    return Path(settings.producer.data_path or shipped("data/sample_customers.csv"))


def _tell_start(order: ConsumeOrder, settings: Settings, scorer: Scorer) -> None:
    topics = settings.topics
    promised = {"mode": order.mode, "delivery": order.delivery, "group": settings.consumer.group_id}
    names = {"raw": topics.raw, "predictions": topics.predictions, "deadletter": topics.deadletter}
    logs.tell_start("consume", **promised, **names, model_version=scorer.version, engine=scorer.engine)


def _promise(order: ProduceOrder) -> Promise:
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


def _outlet(clients: Clients, promise: Promise, of: Pass, stop: Stop) -> AtLeastOnceOutlet | ExactlyOnceOutlet:
    if promise == "exactly-once":
        return ExactlyOnceOutlet(clients, of, stop)
    return AtLeastOnceOutlet(Sink(clients.producer(), stop))


def _ends(clients: Clients, topic: str, partitions: int, stop: Stop) -> Mapping[int, int]:
    """Where the partitions end; nothing where Kafka doesn't say: what was sent is confirmed all the same.

    Asked without the wish to stop, which has ended the sending, not this, but leaves little time.
    """
    patience = _LAST_QUESTION if stop.requested else clients.timeout
    try:
        return Cluster(Clients(clients.settings, patience)).ends(topic, range(partitions), committed_only=False)
    except KafkaError as error:
        log.warning("the end offsets are not known: %s", error)
        return {}


def _plan(order: ConsumeOrder, settings: Settings, limits: Limits) -> Plan:
    consumer = settings.consumer
    return Plan(
        mode=order.mode,
        batch_size=consumer.window_size if order.mode == "batch" else consumer.max_poll_records,
        limits=limits,
        max_messages=order.max_messages,
        idle_timeout=order.idle_timeout,
        max_dead_letters_in_a_row=consumer.max_consecutive_dead_letters,
        top_k=order.top_k,
    )


def _check_rights_to_send(rights: Rights, of: Pass, promise: Promise) -> None:
    rights.need_write(of.topic)
    if promise == "exactly-once":  # the progress is a group's offset of the topic
        rights.need_read(of.topic)
        rights.need_group(group_of(of))


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


def new_transactional_id(settings: Settings) -> str:
    """The one that is set, else one that nobody else has."""
    return settings.consumer.transactional_id or f"{settings.consumer.group_id}-{uuid4()}"


def _transactions(clients: Clients, stop: Stop) -> Transactions:
    consumer, name = clients.settings.consumer, new_transactional_id(clients.settings)
    return transactions_under(name, clients, stop, own_id=consumer.transactional_id is None)
