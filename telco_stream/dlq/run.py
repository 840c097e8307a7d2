"""The parts put together: one run of each command, against the cluster that the clients know."""

from telco_stream.dlq.letters import LetterFilter, LetterPosition, Letters
from telco_stream.dlq.listing import ShownLetter, show_letter
from telco_stream.dlq.replay import RawTopic, ReplayDeps, ReplayOptions, ReplayResult, replay
from telco_stream.dlq.topic import DeadLetterTopic, ReplayedLetters, ReplayWriter
from telco_stream.kafka.clients import Clients
from telco_stream.kafka.cluster import Cluster
from telco_stream.kafka.permissions import Permissions
from telco_stream.model.scorer import Scorer
from telco_stream.runtime.clock import now
from telco_stream.runtime.signals import Stop
from telco_stream.scoring import Limits


def run_list(clients: Clients, wanted: LetterFilter, *, stop: Stop) -> Letters:
    """The wanted letters, read while they are iterated, for `list_letters` or `summarize`; may raise `Stopped`."""
    topic = DeadLetterTopic(clients, Cluster(clients, stop), stop)
    return Letters(topic.records(wanted.partition), wanted)


def run_show(clients: Clients, place: LetterPosition, *, stop: Stop) -> ShownLetter:
    """The letter at this place; raises `DataError` where there is none."""
    return show_letter(DeadLetterTopic(clients, Cluster(clients, stop), stop).record_at(*place))


def run_replay(  # noqa: PLR0913 - what a user may choose
    clients: Clients, wanted: LetterFilter, *, max_retries: int, execute: bool, scorer: Scorer | None, stop: Stop
) -> ReplayResult:
    """Send the wanted letters back, or, unless `execute`, tell which would go; with a scorer only what passes it."""
    clients.on_refused = stop.fail
    cluster, topics = Cluster(clients, stop), clients.settings.topics
    if execute:
        rights = Permissions(clients, cluster)
        rights.require_read(topics.deadletter, topics.raw)
        rights.require_write(topics.raw)
    letters, topic_ids = DeadLetterTopic(clients, cluster, stop), cluster.topic_ids(topics.raw, topics.deadletter)
    replayed = ReplayedLetters(clients, cluster, stop, topic_ids[topics.deadletter])
    usual = Limits()
    predictions = cluster.largest_message(topics.predictions, usual.prediction)
    order = ReplayOptions(
        wanted,
        max_retries,
        cluster.largest_message(topics.raw, usual.prediction),
        Limits(predictions, topics.deadletter_max_message_bytes),
        # Asked for after the letters' ends: the original of each letter is below.
        RawTopic(topics.raw, topic_ids[topics.raw], cluster.ends(topics.raw, range(replayed.partitions))),
        topic_ids[topics.deadletter],
    )
    deps = ReplayDeps(
        records=lambda: letters.records(wanted.partition),
        replayed=replayed.among,
        # Made before anything is read: from then on no other replay can add to what has gone back.
        send=ReplayWriter(clients, stop).send if execute else None,
        scorer=scorer,
        now=now,
        stop=stop,
    )
    result = replay(order, deps)
    stop.raise_failure()
    return result
