"""Parts put together into runs, for the command line and the demo alike."""

from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias
from uuid import uuid4

from telco_stream import consume as consuming
from telco_stream import logs
from telco_stream import produce as producing
from telco_stream.batch import Limits
from telco_stream.checkpoint import CheckpointFile, Pass
from telco_stream.clock import now
from telco_stream.consume import ConsumeResult, Plan
from telco_stream.contracts.scoring import Scorer
from telco_stream.errors import UsageError
from telco_stream.kafka.clients import Clients
from telco_stream.kafka.cluster import Cluster
from telco_stream.kafka.delivery import AtLeastOnce, Delivery, ExactlyOnce
from telco_stream.kafka.outlet import AtLeastOnceOutlet, ExactlyOnceOutlet, Outlet
from telco_stream.kafka.reading import read, settled_ends
from telco_stream.kafka.sink import Sink
from telco_stream.kafka.source import Source
from telco_stream.kafka.transactions import Transactions
from telco_stream.model.artifact import Engine, load_scorer
from telco_stream.produce import Hands, Job, ProduceResult, Schedule
from telco_stream.report import Report, report
from telco_stream.rows import fingerprint
from telco_stream.settings import Settings
from telco_stream.shipped import shipped
from telco_stream.stop import Stop

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


@dataclass(frozen=True, slots=True)
class ProduceOrder:
    """What one run of `produce` is asked for, beside the settings; no `delivery` means the mode's own."""

    mode: Mode
    delivery: Promise | None = None
    run_id: str | None = None
    limit: int | None = None
    seed: int | None = None
    restart: bool = False


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

    def __call__(self, slot: int, stop: Stop, watch: consuming.Watch) -> ConsumeResult:
        """Consume until stopped."""
        logs.configure(**self.talk)
        consumer = self.settings.consumer.model_copy(update={"transactional_id": f"{self.name}-{slot}"})
        settings = self.settings.model_copy(update={"consumer": consumer})
        scorer = load_scorer(self.model, self.engine, consumer.scoring_threads)
        return run_consume(Clients(settings, self.timeout), scorer, self.order, stop=stop, watch=watch)


def run_consume(
    clients: Clients, scorer: Scorer, order: ConsumeOrder, *, stop: Stop, watch: consuming.Watch
) -> ConsumeResult:
    """Consume until a bound is met or somebody stops it; the group is left in any case."""
    settings, cluster = clients.settings, Cluster(clients, stop)
    partitions = cluster.partitions(settings.topics.raw, settings.topics.predictions, settings.topics.deadletter)
    limits = _limits(cluster, settings)
    until, more = None, {}
    if order.mode == "batch":
        # What is written, not what can be read yet: a transaction just committed becomes visible a moment later.
        until = cluster.ends(settings.topics.raw, range(partitions[settings.topics.raw]), committed_only=False)
        more = {"enable_partition_eof": "true"}
    consumer = clients.consumer(settings.consumer.group_id, **more)
    with closing(Source(consumer, settings.topics.raw, stop, until=until)) as source:
        delivery: Delivery
        if order.delivery == "exactly-once":
            delivery = ExactlyOnce(_transactions(clients, stop), source, settings.topics)
        else:
            delivery = AtLeastOnce(Sink(clients.producer(), stop), consumer, source, settings.topics, stop)
        plan = _plan(order, settings, limits)
        return consuming.consume(source, delivery, scorer, plan, now=now, stop=stop, watch=watch)


def run_produce(clients: Clients, order: ProduceOrder, *, stop: Stop, watch: producing.Watch) -> ProduceResult:
    """Send the file once, or random rows of it for as long as is asked."""
    settings, cluster = clients.settings, Cluster(clients, stop)
    promise = _promise(order)
    path = Path(settings.producer.data_path or shipped("data/sample_customers.csv"))
    of = Pass(str(path.resolve()), fingerprint(path), settings.topics.raw, order.run_id)
    partitions = cluster.partitions(settings.topics.raw)[settings.topics.raw]
    outlet: Outlet
    if promise == "exactly-once":
        outlet = ExactlyOnceOutlet(clients, of, stop)
    else:
        outlet = AtLeastOnceOutlet(Sink(clients.producer(), stop))
    job = Job(of, path, settings.producer.batch_size, order.limit, order.restart)
    hands = Hands(outlet, CheckpointFile(Path(settings.producer.checkpoint_file)), now, stop, watch)
    if order.mode == "batch":
        sent = producing.produce_pass(job, hands)
    else:
        sent = producing.produce_stream(job, Schedule(settings.producer.events_per_sec, order.seed), hands)
    return ProduceResult(
        mode=order.mode,
        topic=of.topic,
        run_id=order.run_id,
        sent=sent.rows,
        failed=outlet.unconfirmed(),
        resumed_from=sent.resumed_from,
        end_offsets=_ends(clients, of.topic, partitions),
        seconds=round(sent.seconds, 3),
        rate=round(sent.rows / sent.seconds, 1) if sent.seconds else 0.0,
    )


def run_report(clients: Clients, top_k: int, *, stop: Stop) -> Report:
    """What all predictions say that stand in the topic now."""
    topic, cluster = clients.settings.topics.predictions, Cluster(clients, stop)
    ends = settled_ends(cluster, topic, cluster.partitions(topic)[topic], stop)
    return report((one.value() for batch in read(clients, topic, stop=stop, ends=ends) for one in batch), top_k)


def _promise(order: ProduceOrder) -> Promise:
    """A stream of random rows has none that could be sent twice, so only a pass can promise exactly once."""
    if order.mode == "batch":
        return order.delivery or "exactly-once"
    if order.delivery == "exactly-once":
        raise UsageError("--delivery exactly-once goes with --mode batch: random rows have no place to resume from")
    if order.run_id is not None:
        raise UsageError("--run-id goes with --mode batch: a stream has no end to remember")
    return "at-least-once"


def _ends(clients: Clients, topic: str, partitions: int) -> Mapping[int, int]:
    """Asked anew: the wish to stop has ended the sending, not this."""
    return Cluster(clients).ends(topic, range(partitions), committed_only=False)


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
    return Transactions(lambda: clients.producer(name), stop, own_id=consumer.transactional_id is None)
