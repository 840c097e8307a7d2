"""The three topics, created once."""

from dataclasses import dataclass

from confluent_kafka.admin import NewTopic  # type: ignore[attr-defined]

from telco_stream.errors import UsageError
from telco_stream.kafka.cluster import Cluster
from telco_stream.settings import Settings


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic as it stands now; `created` says whether it is new (in a dry run: whether it would be)."""

    name: str
    partitions: int
    replication_factor: int
    created: bool


@dataclass(frozen=True, slots=True)
class TopicsResult:
    """The topics in the order of the data's way."""

    topics: list[Topic]


def init_topics(cluster: Cluster, settings: Settings, *, dry_run: bool = False) -> TopicsResult:
    """Create what is missing, leave the rest alone; an existing topic with too few partitions is a `UsageError`."""
    existing = cluster.topics()
    wanted = [_new_topic(name, partitions, settings) for name, partitions in _wanted(settings)]
    _refuse_too_few([(new, existing[new.topic][0]) for new in wanted if new.topic in existing])
    missing = [new for new in wanted if new.topic not in existing]
    cluster.create(missing, dry_run=dry_run)
    return TopicsResult([_report(new, existing.get(new.topic)) for new in wanted])


def compacted_topics(cluster: Cluster, *topics: str) -> list[str]:
    """Return those of the topics whose `cleanup.policy` has Kafka compact them, as far as it may be read."""
    return [topic for topic in topics if "compact" in cluster.topic_config(topic).get("cleanup.policy", "")]


def compaction_warning(topic: str) -> str:
    """Return a line that says what a compacted topic leads to, and how to change it."""
    return (
        f"Topic {topic} is compacted: Kafka deletes every record of a key but the newest, so that inputs or answers"
        " disappear and `verify` finds them missing or unexplained; set cleanup.policy=delete with kafka-configs.sh"
    )


def _wanted(settings: Settings) -> list[tuple[str, int]]:
    topics = settings.topics
    return [
        (topics.raw, topics.raw_partitions),
        (topics.predictions, topics.predictions_partitions),
        (topics.deadletter, topics.deadletter_partitions),
    ]


def _new_topic(name: str, partitions: int, settings: Settings) -> NewTopic:
    config = {"retention.ms": str(settings.topics.retention_ms)}
    if name == settings.topics.deadletter:
        config["max.message.bytes"] = str(settings.topics.deadletter_max_message_bytes)
    return NewTopic(name, partitions, settings.topics.replication_factor, config=config)


def _refuse_too_few(pairs: list[tuple[NewTopic, int]]) -> None:
    few = [
        f"{new.topic} has {found} of {new.num_partitions} partitions"
        for new, found in pairs
        if found < new.num_partitions
    ]
    if few:
        raise UsageError(
            f"{'; '.join(few)}: add them with kafka-topics.sh --alter (keys move to other partitions), or ask for fewer"
        )


def _report(new: NewTopic, existing: tuple[int, int] | None) -> Topic:
    partitions, copies = existing or (new.num_partitions, new.replication_factor)
    return Topic(new.topic, partitions, copies, created=existing is None)
