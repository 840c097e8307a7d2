"""Wiring of one run of `consume`."""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from uuid import uuid4

from telco_stream.consume.batches import BatchScorer
from telco_stream.consume.counters import ConsumePlan, ConsumeResult, RunCounters
from telco_stream.consume.delivery import AtLeastOnce, ExactlyOnce
from telco_stream.consume.first_start import IfAnswered, choose_reset
from telco_stream.consume.loop import ConsumeLoop, Delivery
from telco_stream.consume.worker_reports import WorkerReporter
from telco_stream.errors import UsageError
from telco_stream.kafka.clients import Clients
from telco_stream.kafka.cluster import Cluster, largest_message
from telco_stream.kafka.offsets import CommitReader
from telco_stream.kafka.permissions import require_group, require_read, require_write
from telco_stream.kafka.sink import Sink
from telco_stream.kafka.source import KafkaSource, open_source
from telco_stream.kafka.starts import TopicToRead
from telco_stream.kafka.topics import compacted_topics, compaction_warning, largest_letter
from telco_stream.kafka.transactions import Transactions, transactions_under
from telco_stream.messages.codec import Codec
from telco_stream.messages.prediction import APPROXIMATE, BASE, CONTROL, REASONS, Holdout
from telco_stream.model.artifact import BASELINE, load_requested, manifest_of, read_folder
from telco_stream.model.reasons.files import SENTENCES
from telco_stream.model.reasons.request import ReasonRequest
from telco_stream.model.reasons.sentences import read_sentences
from telco_stream.model.serving import Models, ServingModels
from telco_stream.monitoring import NO_MONITORING, MonitoringOptions, monitor_run
from telco_stream.monitoring.protocols import PartitionView, RunObserver
from telco_stream.monitoring.snapshot import ConsumerStats, ProgressLog
from telco_stream.runtime import logs
from telco_stream.runtime.choices import DeliveryGuarantee, Engine, Mode, models_topic
from telco_stream.runtime.clock import utc_timestamp
from telco_stream.runtime.gc_tuning import reduced_gc
from telco_stream.runtime.malloc import limit_heaps
from telco_stream.runtime.signals import Stop, Stopped
from telco_stream.scoring import Limits
from telco_stream.settings import Settings, TopicSettings

log = logging.getLogger("telco_stream.consume.loop")

#: The client property that makes a process a static member of its group.
_INSTANCE_ID = "group.instance.id"
#: Error message of a process that another one has fenced; only IDs that users set can be taken over.
_FENCED = (
    "Another instance has taken over: it has the same TELCO_STREAM_CONSUMER__TRANSACTIONAL_ID; stop one of them, or"
    " give each its own"
)


@dataclass(frozen=True, slots=True)
class ConsumeOptions:
    """Options of one run that are not settings."""

    mode: Mode = "streaming"
    delivery: DeliveryGuarantee = "exactly-once"
    max_messages: int | None = None
    idle_timeout: float | None = None
    top_k: int = 10
    monitoring: MonitoringOptions = NO_MONITORING
    if_answered: IfAnswered = "refuse"
    #: Share of the keys, in percent, whose predictions are marked as `control`; 0 marks none.
    holdout_percent: float = 0.0
    #: Reasons of the predictions; None for none.
    reasons: ReasonRequest | None = None

    @property
    def is_bounded(self) -> bool:
        """Return whether the run ends before a stop is requested."""
        return self.mode == "batch" or self.idle_timeout is not None or self.max_messages is not None


@dataclass(frozen=True, slots=True)
class WorkerTask:
    """Task of a worker, pickled and sent to its process, which creates its own clients and model."""

    settings: Settings
    model: Path
    engine: Engine
    options: ConsumeOptions
    timeout: float
    log_options: Mapping[str, bool]
    #: Common to the workers of a run; with the slot it is a transactional ID that a restarted worker takes over.
    id_prefix: str
    #: Whether the parent draws a live view.
    has_live_view: bool = False

    def __call__(self, slot: int, stop: Stop, reporter: WorkerReporter) -> ConsumeResult:
        """Consume until stopped."""
        logs.configure(**self.log_options, worker=slot)
        consumer = self.settings.consumer.model_copy(update={"transactional_id": f"{self.id_prefix}-{slot}"})
        settings = self.settings.model_copy(update={"consumer": consumer, "kafka": self._properties(slot)})
        clients = Clients(settings, self.timeout)
        cluster = Cluster(clients, stop)
        options = replace(self.options, monitoring=self.options.monitoring.in_slot(slot))
        observers: list[RunObserver] = [reporter] if self.has_live_view else [reporter, ProgressLog()]
        opened = open_models(cluster, self.model, self.engine, options.reasons)
        with opened as models, ExitStack() as reporting:
            if self.has_live_view:
                stats = ConsumerStats(
                    models.serving.scorer.codec, clients.unavailable_for, models.versions, models.sentences
                )
                reporting.enter_context(reporter.reporting_snapshots(stats))
            return run_consume(cluster, models, options, observers=observers)

    def _properties(self, slot: int) -> dict[str, str]:
        """Return the client properties of one worker: two members with the same instance ID fence each other."""
        properties = dict(self.settings.kafka)
        if _INSTANCE_ID in properties:
            properties[_INSTANCE_ID] += f"-{slot}"
        return properties


@contextmanager
def open_models(
    cluster: Cluster, folder: Path, engine: Engine, reasons: ReasonRequest | None = None, *, follow: bool = True
) -> Iterator[Models]:
    """Yield the models of the configured topic, or else of the folder, with what the reasons of answers need.

    Those of a topic `follow` it while the block runs.
    """
    clients, stop = cluster.clients, cluster.stop
    topic = models_topic(clients.settings.model.path)
    if topic is None:
        yield load_models(folder, engine, reasons)
        return
    from telco_stream.registry.follower import follow_models, wait_for_models  # noqa: PLC0415 - only a topic needs it

    if not follow:
        yield wait_for_models(clients, topic, engine, stop, reasons)
        return
    limit_heaps()
    with follow_models(clients, topic, engine, stop, reasons) as models:
        yield models


def load_models(folder: Path, engine: Engine, reasons: ReasonRequest | None = None) -> Models:
    """Check and load the model of a folder, which answers in the whole run.

    Raise UsageError if its reasons are asked for and it has none, and ModelError if their sentences can't be read.
    """
    files, origin = read_folder(folder), str(folder)
    scorer = load_requested(files, origin, engine, reasons)
    created_at = manifest_of(files, origin).created_at
    sentences = read_sentences(files.get(SENTENCES), scorer.codec.contract) if reasons else {}
    return Models(ServingModels(scorer, created_at=created_at, baseline=files.get(BASELINE), sentences=sentences))


def decide_first_start(cluster: Cluster, options: ConsumeOptions) -> tuple[Settings, ConsumeOptions]:
    """Check whether the group has answered its topic before; return settings and options for the workers.

    Checked once for all workers, because each of them would see the answers of the others.
    """
    settings, raw = cluster.clients.settings, cluster.clients.settings.topics.raw
    with closing(CommitReader(cluster, settings.consumer.group_id, raw)) as commits:
        reset = choose_reset(cluster, commits, options.if_answered)
    consumer = settings.consumer.model_copy(update={"auto_offset_reset": reset})
    return settings.model_copy(update={"consumer": consumer}), replace(options, if_answered="restart")


def run_consume(
    cluster: Cluster, models: Models, options: ConsumeOptions, *, observers: Sequence[RunObserver] = ()
) -> ConsumeResult:
    """Consume until a stop condition is met or a stop is requested, and leave the group in every case."""
    if options.holdout_percent:
        _check_field(CONTROL, "--holdout-percent", models.serving.scorer.codec)
    if options.reasons:
        for name in (BASE, REASONS, APPROXIMATE):
            _check_field(name, "--reasons", models.serving.scorer.codec)
    clients, stop = cluster.clients, cluster.stop
    clients.on_refused = stop.fail
    with monitor_run(options.monitoring, clients, models, stop=stop, observers=observers) as monitored, reduced_gc():
        try:
            result = _consume(cluster, options, models, monitored)
        except Stopped:  # while a request to the broker was pending, before the loop
            result = RunCounters(_plan(options, clients, models, Limits())).result("signal")
        stop.raise_failure()
    logs.log_end(
        "consume",
        stopped_by=result.stopped_by,
        consumed=result.consumed,
        predicted=result.predicted,
        dead_lettered=result.dead_lettered,
        seconds=result.seconds,
    )
    return result


def new_transactional_id(settings: Settings) -> str:
    """Return the configured ID, or a unique one."""
    return settings.consumer.transactional_id or f"{settings.consumer.group_id}-{uuid4()}"


def _consume(
    cluster: Cluster, options: ConsumeOptions, models: Models, observers: Sequence[RunObserver]
) -> ConsumeResult:
    clients, stop, topics = cluster.clients, cluster.stop, cluster.clients.settings.topics
    partitions = cluster.partitions(topics.raw, topics.predictions, topics.deadletter)
    group, follows = clients.settings.consumer.group_id, models_topic(clients.settings.model.path) is not None
    # `model promote --wait` finds the reports of a worker by its client ID.
    properties = {"client_id": clients.worker} if follows else {}
    # These clients connect while the cluster is asked for the rest; it has accepted this process.
    consumer, commits = clients.member(group, **properties), CommitReader(cluster, group, topics.raw)
    _check_permissions(cluster, clients.settings)
    configs = cluster.topic_configs(*partitions)
    limits = _limits(configs, topics)
    sender = _sender(cluster, options, limits.prediction)
    plan = _plan(options, clients, models, limits, commits.topic_id)
    with closing(commits):
        reset = choose_reset(cluster, commits, options.if_answered)
    topic = TopicToRead(topics.raw, cluster.ask_offsets, commits.topic_id, partitions[topics.raw], reset)
    _log_start(options, clients.settings, models)
    _warn_of_compaction(compacted_topics(configs))
    is_batch, is_bounded = options.mode == "batch", options.is_bounded
    with (
        closing(open_source(cluster, consumer, topic, is_batch=is_batch, is_bounded=is_bounded)) as source,
        ExitStack() as attached,
    ):
        delivery, outcomes = _delivery(sender, source, topics, limits.letter)
        scorer = BatchScorer(models, plan, utc_timestamp)
        loop = ConsumeLoop(
            source, delivery, scorer.process, plan, stop=stop, observers=observers, compare=scorer.compare_shadow
        )
        for observer in observers:
            attached.callback(observer.finish)
            observer.attach(partial(_view_partitions, source, loop, outcomes))
        return loop.run()


def _sender(cluster: Cluster, options: ConsumeOptions, largest_batch: int) -> Sink | Transactions:
    """Return what sends the answers: transactions, which have not started yet, or a producer without them."""
    clients, settings = cluster.clients, cluster.clients.settings
    if options.delivery == "at-least-once":
        return Sink(clients.producer(largest_batch=largest_batch), cluster.stop)
    name, has_unique_id = new_transactional_id(settings), settings.consumer.transactional_id is None
    return transactions_under(
        name, clients, cluster.stop, has_unique_id=has_unique_id, fenced=_FENCED, largest_batch=largest_batch
    )


def _delivery(
    sender: Sink | Transactions, source: KafkaSource, topics: TopicSettings, largest_letters: int
) -> tuple[Delivery, Callable[[], Mapping[str, int]]]:
    """Start the transactions, if there are any; return the delivery, and a function that counts them by outcome."""
    if isinstance(sender, Sink):
        return AtLeastOnce(sender, source, topics, largest_letters), dict
    sender.start()
    return ExactlyOnce(sender, source, topics, largest_letters), sender.outcomes


def _check_field(name: str, option: str, codec: Codec) -> None:
    """Raise `UsageError` if predictions of the contract have another field of this name."""
    if name in codec.predictions.attributes:
        raise UsageError(f"{option}: predictions have the field {name} already, a column of the contract; rename it")


def _view_partitions(
    source: KafkaSource, loop: ConsumeLoop, outcomes: Callable[[], Mapping[str, int]]
) -> PartitionView:
    return PartitionView(
        answered=loop.answered,
        end_offsets=source.membership.end_offsets,
        assigned=frozenset(source.membership.assigned),
        joined=source.membership.joined,
        refusal=source.refusal,
        rebalances=source.membership.rebalances,
        expired_unanswered=source.expired_unanswered,
        transactions=outcomes(),
    )


def _log_start(options: ConsumeOptions, settings: Settings, models: Models) -> None:
    topics, scorer = settings.topics, models.serving.scorer
    facts = {"mode": options.mode, "delivery": options.delivery, "group": settings.consumer.group_id}
    names = {"raw": topics.raw, "predictions": topics.predictions, "deadletter": topics.deadletter}
    until = {} if options.is_bounded else {"until": "signal"}
    if options.holdout_percent:
        names["holdout_percent"] = f"{options.holdout_percent:g}"
    if options.reasons and scorer.explainer:
        kind = ", approximate" if options.reasons.approximate else ""
        names["reasons"] = f"{options.reasons.count} for {'flagged' if options.reasons.flagged_only else 'all'}{kind}"
        names["reasons_cost"] = f"{scorer.explainer.microseconds():.1f}us"
    logs.log_start("consume", **facts, **names, model_version=scorer.version, engine=scorer.engine, **until)


def _warn_of_compaction(topics: Iterable[str]) -> None:
    for topic in topics:
        log.warning("%s", compaction_warning(topic), extra={"event": "compacted_topic", "facts": {"topic": topic}})


def _plan(
    options: ConsumeOptions, clients: Clients, models: Models, limits: Limits, topic_id: str | None = None
) -> ConsumePlan:
    consumer = clients.settings.consumer
    return ConsumePlan(
        mode=options.mode,
        batch_size=consumer.window_size if options.mode == "batch" else consumer.max_poll_records,
        limits=limits,
        max_messages=options.max_messages,
        idle_timeout=options.idle_timeout,
        join_timeout=clients.timeout,
        max_consecutive_dead_letters=consumer.max_consecutive_dead_letters,
        top_k=options.top_k,
        topic_id=topic_id,
        contract=models.serving.scorer.codec.contract,
        holdout=Holdout(options.holdout_percent) if options.holdout_percent else None,
        reasons=options.reasons,
    )


def _check_permissions(cluster: Cluster, settings: Settings) -> None:
    require_read(cluster, settings.topics.raw)
    require_group(cluster, settings.consumer.group_id)
    require_write(cluster, settings.topics.predictions, settings.topics.deadletter)


def _limits(configs: Mapping[str, Mapping[str, str]], topics: TopicSettings) -> Limits:
    """Return the message sizes that the topics accept, or defaults where the broker doesn't say."""
    prediction = largest_message(configs[topics.predictions], Limits().prediction)
    return Limits(prediction=prediction, letter=largest_letter(configs, topics))
