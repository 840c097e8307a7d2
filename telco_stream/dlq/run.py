"""One run of each `dlq` command."""

from telco_stream.dlq.letters import LetterFilter, LetterPosition, Letters
from telco_stream.dlq.listing import ShownLetter, show_letter
from telco_stream.dlq.replay import RawTopic, ReplayDeps, ReplayOptions, ReplayResult, replay
from telco_stream.dlq.topic import DeadLetterTopic, ReplayedLetters, ReplayWriter
from telco_stream.kafka.clients import Clients
from telco_stream.kafka.cluster import Cluster
from telco_stream.kafka.permissions import require_read, require_write
from telco_stream.model.scorer import Scorer
from telco_stream.runtime.clock import utc_timestamp
from telco_stream.runtime.signals import Stop
from telco_stream.scoring import Limits


def run_list(clients: Clients, criteria: LetterFilter, *, stop: Stop) -> Letters:
    """Return the matching letters for `list_letters` or `summarize`; iterating reads them and may raise `Stopped`."""
    topic = DeadLetterTopic(clients, Cluster(clients, stop), stop)
    return Letters(topic.records(criteria.partition), criteria)


def run_show(clients: Clients, position: LetterPosition, *, stop: Stop) -> ShownLetter:
    """Return the letter at this position; raise `DataError` if it is missing."""
    return show_letter(DeadLetterTopic(clients, Cluster(clients, stop), stop).record_at(*position))


def run_replay(  # noqa: PLR0913 - the options of the command
    clients: Clients, criteria: LetterFilter, *, max_retries: int, execute: bool, scorer: Scorer | None, stop: Stop
) -> ReplayResult:
    """Replay the matching letters; without `execute`, only count them. With a scorer, skip letters that still fail."""
    clients.on_refused = stop.fail
    cluster, topics = Cluster(clients, stop), clients.settings.topics
    if execute:
        require_read(cluster, topics.deadletter, topics.raw)
        require_write(cluster, topics.raw)
    letters, topic_ids = DeadLetterTopic(clients, cluster, stop), cluster.topic_ids(topics.raw, topics.deadletter)
    replayed = ReplayedLetters(clients, cluster, stop, topic_ids[topics.deadletter])
    defaults = Limits()
    predictions = cluster.largest_message(topics.predictions, defaults.prediction)
    options = ReplayOptions(
        criteria,
        max_retries,
        cluster.largest_message(topics.raw, defaults.prediction),
        Limits(predictions, topics.deadletter_max_message_bytes),
        # The ends are queried after those of the letters, so that the original of each letter is below them.
        RawTopic(topics.raw, topic_ids[topics.raw], cluster.ends(topics.raw, range(replayed.partitions))),
        topic_ids[topics.deadletter],
    )
    deps = ReplayDeps(
        records=lambda: letters.records(criteria.partition),
        find_replayed=replayed.find,
        # The writer fences other replays before anything is read: from here on, only this run adds replayed letters.
        send=ReplayWriter(clients, stop).send if execute else None,
        scorer=scorer,
        utc_timestamp=utc_timestamp,
        stop=stop,
    )
    result = replay(options, deps)
    stop.raise_failure()
    return result
