"""Creation of the topics, and a check for compacted ones."""

from collections.abc import Mapping
from dataclasses import dataclass

from confluent_kafka.admin import NewTopic  # type: ignore[attr-defined]

from telco_stream.errors import UsageError
from telco_stream.kafka.cluster import Cluster, largest_message
from telco_stream.settings import Settings, TopicSettings

#: Largest record of the models topic, which holds the archive of a model.
MAX_MODEL_BYTES = 33_554_432
#: Largest batch of the predictions topic: those of a micro-batch of one partition with three reasons.
_MAX_PREDICTIONS_BYTES = 4_194_304


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic after `topics init`; `created` is True if it is new (in a dry run: would be new)."""

    name: str
    partitions: int
    replication_factor: int
    created: bool


@dataclass(frozen=True, slots=True)
class TopicsResult:
    """The raw, predictions and dead-letter topics, and with `--models` and `--outcomes` those topics."""

    topics: list[Topic]


def init_topics(
    cluster: Cluster, settings: Settings, *, models: bool = False, outcomes: bool = False, dry_run: bool = False
) -> TopicsResult:
    """Create missing topics, with `models` that of the models too, and with `outcomes` that of the outcomes.

    Raise `UsageError` if an existing topic has fewer partitions than the settings.
    """
    existing = cluster.topics()
    optional = [(models, _models_topic(settings)), (outcomes, _outcomes_topic(settings))]
    topics = [*_configured_topics(settings), *(topic for is_wanted, topic in optional if is_wanted)]
    _check_partitions([(topic, existing[topic.topic][0]) for topic in topics if topic.topic in existing])
    cluster.create([topic for topic in topics if topic.topic not in existing], dry_run=dry_run)
    return TopicsResult([_result(topic, existing.get(topic.topic)) for topic in topics])


def largest_letter(configs: Mapping[str, Mapping[str, str]], topics: TopicSettings) -> int:
    """Return the largest dead letter in bytes: the limit of the settings, or a lower one of the topic."""
    limit = topics.deadletter_max_message_bytes
    return min(largest_message(configs[topics.deadletter], limit), limit)


def compacted_topics(configs: Mapping[str, Mapping[str, str]]) -> list[str]:
    """Return the compacted ones of topics with these configurations; one without a configuration is not compacted."""
    return [topic for topic, config in configs.items() if is_compacted(config)]


def is_compacted(config: Mapping[str, str]) -> bool:
    """Return whether a topic with this configuration is compacted."""
    return "compact" in config.get("cleanup.policy", "")


def compaction_warning(topic: str) -> str:
    """Return a warning about a compacted topic: the consequences and the fix."""
    return (
        f"Topic {topic} is compacted: Kafka deletes every record of a key but the newest, so that inputs or answers"
        " disappear and `verify` finds them missing or unexplained; set cleanup.policy=delete with kafka-configs.sh"
    )


def retention_warning(topic: str) -> str:
    """Return a warning about a models topic that is not compacted."""
    return (
        f"Topic {topic} is not compacted: Kafka deletes its models and their roles after some time; set"
        " cleanup.policy=compact with kafka-configs.sh"
    )


def _models_topic(settings: Settings) -> NewTopic:
    config = {"cleanup.policy": "compact", "max.message.bytes": str(MAX_MODEL_BYTES)}
    return NewTopic(settings.topics.models, 1, settings.topics.replication_factor, config=config)


def _outcomes_topic(settings: Settings) -> NewTopic:
    return _retained_topic(settings, settings.topics.outcomes, settings.topics.predictions_partitions)


def _configured_topics(settings: Settings) -> list[NewTopic]:
    topics = settings.topics
    prediction_config = {"max.message.bytes": str(_MAX_PREDICTIONS_BYTES)}
    letter_config = {"max.message.bytes": str(topics.deadletter_max_message_bytes)}
    return [
        _retained_topic(settings, topics.raw, topics.raw_partitions),
        _retained_topic(settings, topics.predictions, topics.predictions_partitions, **prediction_config),
        _retained_topic(settings, topics.deadletter, topics.deadletter_partitions, **letter_config),
    ]


def _retained_topic(settings: Settings, name: str, partitions: int, **config: str) -> NewTopic:
    config["retention.ms"] = str(settings.topics.retention_ms)
    return NewTopic(name, partitions, settings.topics.replication_factor, config=config)


def _check_partitions(topics: list[tuple[NewTopic, int]]) -> None:
    problems = [
        f"{topic.topic} has {partitions} of {topic.num_partitions} partitions"
        for topic, partitions in topics
        if partitions < topic.num_partitions
    ]
    if problems:
        raise UsageError(
            f"{'; '.join(problems)}: add them with kafka-topics.sh --alter (keys move to other partitions), or"
            " set fewer"
        )


def _result(topic: NewTopic, existing: tuple[int, int] | None) -> Topic:
    partitions, replicas = existing or (topic.num_partitions, topic.replication_factor)
    return Topic(topic.topic, partitions, replicas, created=existing is None)
