"""States of dead letters on a real Kafka: from the list over a replay to its answer."""

import time
from dataclasses import replace

import pytest

from telco_stream.checks.status import status
from telco_stream.consume.run import ConsumeOptions
from telco_stream.dlq.letters import LetterFilter
from telco_stream.dlq.listing import LetterSummary, list_letters, summarize
from telco_stream.dlq.run import StateOptions, run_list, run_replay
from telco_stream.kafka.clients import Clients
from telco_stream.kafka.cluster import Cluster
from telco_stream.kafka.reading import settled_ends
from telco_stream.messages.dead_letter import decode_dead_letter
from telco_stream.model.scorer import Scorer
from telco_stream.report.predictions import ReportOptions
from telco_stream.report.run import run_report_data
from telco_stream.runtime.signals import Stop
from telco_stream.settings import load
from tests.conftest import Broker
from tests.support.consumer_harness import RunningConsumer, customers, settings_of
from tests.support.letters import letter, write_letters
from tests.support.records import RuleScorer, refuse
from tests.support.topics import Outgoing, Topics, read_topic, send, topic_id

#: Customers of `customers(range(6))` that a scorer refuses.
REFUSED = ("c1", "c4")


def test_list_is_empty_when_all_replays_were_answered(kafka: str, topics: Topics) -> None:
    send(kafka, topics.raw, customers(range(6)))
    consume(kafka, topics, RuleScorer(refuse(*REFUSED)))
    assert states(kafka, topics, only_open=True) == {0: "open", 1: "open"}
    assert replay(kafka, topics) == 2
    assert states(kafka, topics, only_open=True) == {}
    assert states(kafka, topics) == {0: "replayed", 1: "replayed"}
    consume(kafka, topics, RuleScorer())
    assert states(kafka, topics, only_open=True) == {}
    assert states(kafka, topics) == {0: "answered", 1: "answered"}
    assert summary(kafka, topics).by_state == {"open": 0, "replayed": 0, "answered": 2, "given_up": 0}


def test_list_shows_the_newer_letter_when_a_replay_fails_again(kafka: str, topics: Topics) -> None:
    send(kafka, topics.raw, customers(range(6)))
    consume(kafka, topics, RuleScorer(refuse(*REFUSED)))
    replay(kafka, topics)
    consume(kafka, topics, RuleScorer(refuse("c4")))
    found = states(kafka, topics)
    assert sorted(found.values()) == ["answered", "given_up", "open"]
    assert list(states(kafka, topics, only_open=True).values()) == ["open"]
    for _ in range(3):  # twice, until --max-retries is reached
        replay(kafka, topics)
        consume(kafka, topics, RuleScorer(refuse("c4")))
    assert sorted(states(kafka, topics).values()) == ["answered", "given_up", "given_up", "given_up", "given_up"]
    assert states(kafka, topics, only_open=True) == {}
    assert list(states(kafka, topics, only_open=True, options=StateOptions(max_retries=4)).values()) == ["open"]


def test_list_ignores_marks_that_are_forged(kafka: str, topics: Topics) -> None:
    send(kafka, topics.raw, customers(range(2)))
    consume(kafka, topics, RuleScorer(refuse("c0", "c1")))
    (first, second) = read_topic(kafka, topics.deadletter)
    position, identity = f"{topics.deadletter}/0/{first.offset}".encode(), topic_id(kafka, topics.deadletter).encode()
    original = decode_dead_letter(first.value or b"").original
    for partition in range(3):
        forged = [
            marked(first.key, b"harmless", position, identity),
            marked(b"another", original, position, identity),
            marked(first.key, original, position, b"AAAAAAAAAAAAAAAAAAAAAA"),
            marked(first.key, original, b"another/0/0", identity),
            marked(first.key, original, f"{topics.deadletter}/0/{second.offset}".encode(), identity),
        ]
        send(kafka, topics.raw, forged, partition)
    consume(kafka, topics, RuleScorer())
    found = states(kafka, topics)
    assert (found[first.offset], found[second.offset]) == ("open", "open")


def test_list_ignores_answers_that_are_forged(kafka: str, topics: Topics) -> None:
    """An answer to an earlier raw topic, and a record that is no dead letter, name the replay's position."""
    send(kafka, topics.raw, customers(range(1)))
    consume(kafka, topics, RuleScorer(refuse("c0")))
    replay(kafka, topics)
    replayed = read_topic(kafka, topics.raw)[-1]
    source = ("source", f"{topics.raw}/{replayed.partition}/{replayed.offset}".encode())
    send(kafka, topics.predictions, [(b"c0", b"{}", [source, ("source.topic.id", b"AAAAAAAAAAAAAAAAAAAAAA")])])
    send(kafka, topics.deadletter, [(b"c0", b"no letter", [source])])
    assert states(kafka, topics) == {0: "replayed"}


@pytest.mark.parametrize("is_answered", [False, True])
def test_states_are_known_when_there_are_no_topic_ids(broker: Broker, is_answered: bool) -> None:
    """The embedded broker has neither topic IDs nor record times."""
    write_letters(broker.bootstrap, broker.topics, [letter(b"a", key=b"k"), letter(b"b", 1)])
    send(broker.bootstrap, broker.topics.raw, [(b"k", b"a", [("telco.dlq.replay_of", b"0/0")])], 2)
    if is_answered:
        source = [("source", f"{broker.topics.raw}/2/0".encode())]
        send(broker.bootstrap, broker.topics.predictions, [(b"k", b"{}", source)])
    expected = {0: "answered" if is_answered else "replayed", 1: "open"}
    assert states(broker.bootstrap, broker.topics) == expected


def test_states_are_unknown_when_a_topic_is_missing(kafka: str, topics: Topics) -> None:
    """As without the right to read it: the letters are listed all the same."""
    write_letters(kafka, topics, [letter(b"a")])
    missing = replace(topics, predictions=f"{topics.predictions}-not")
    _, found = run_list(clients_of(kafka, missing), LetterFilter(), StateOptions(), only_open=True, stop=Stop())
    assert missing.predictions in (found.unknown_because or "")
    assert states(kafka, missing, only_open=True) == {0: "unknown"}
    counted = summary(kafka, missing)
    assert (counted.open, counted.by_state["unknown"], counted.reasons[0].open) == (None, 1, 1)


def test_search_begins_behind_the_oldest_original(kafka: str, topics: Topics) -> None:
    """Neither the raw topic nor, without a replay, the predictions are read from the start."""
    send(kafka, topics.raw, customers(range(200)), 1)
    send(kafka, topics.raw, [*customers([500]), *customers(range(3))], 1)
    consume(kafka, topics, RuleScorer(refuse("c500")))
    read: list[int] = []
    assert states(kafka, topics, options=StateOptions(on_read=read.append)) == {0: "open"}
    assert sum(read) == 3
    bounded = StateOptions(max_offsets=2)
    assert states(kafka, topics, options=bounded) == {0: "unknown"}
    assert states(kafka, topics, options=replace(bounded, max_offsets=3)) == {0: "open"}


def test_list_limits_the_open_letters(kafka: str, topics: Topics) -> None:
    """As after a replay with --limit: the next letters are listed."""
    send(kafka, topics.raw, customers(range(6)))
    consume(kafka, topics, RuleScorer(refuse(*(f"c{number}" for number in range(6)))))
    first, *rest = states(kafka, topics)
    assert replay(kafka, topics, limit=1) == 1
    assert list(states(kafka, topics, only_open=True, limit=2)) == rest[:2]
    assert list(states(kafka, topics, limit=1)) == [first]


def test_status_and_page_count_open_letters_and_the_total(kafka: str, topics: Topics) -> None:
    send(kafka, topics.raw, customers(range(6)))
    consume(kafka, topics, RuleScorer(refuse(*REFUSED)))
    assert counts(kafka, topics) == [(2, 2), (2, 2)]
    replay(kafka, topics, limit=1)
    consume(kafka, topics, RuleScorer())
    assert counts(kafka, topics) == [(1, 2), (1, 2)]
    replay(kafka, topics)
    consume(kafka, topics, RuleScorer())
    assert counts(kafka, topics) == [(0, 2), (0, 2)]


def counts(kafka: str, topics: Topics) -> list[tuple[int | None, int]]:
    """Return the open letters and the total, of `status` and of the page."""
    clients = clients_of(kafka, topics)
    result = status(clients, topics.group, now=time.time(), stop=Stop())
    letters = run_report_data(clients, ReportOptions(0), stop=Stop()).letters
    return [(result.open_dead_letters, result.dead_letters), (letters.open, letters.total)]


def consume(kafka: str, topics: Topics, scorer: Scorer) -> None:
    """Answer everything in the raw topic, and wait until the answers are visible."""
    RunningConsumer(settings_of(kafka, topics), ConsumeOptions("batch"), scorer).result()
    cluster = Cluster(clients_of(kafka, topics))
    for topic, partitions in topics.partitions().items():
        settled_ends(cluster, topic, partitions)


def replay(kafka: str, topics: Topics, limit: int | None = None) -> int:
    """Run `dlq replay --execute`; return the number of replayed letters."""
    criteria = LetterFilter(limit=limit)
    result = run_replay(clients_of(kafka, topics), criteria, max_retries=3, execute=True, scorer=None, stop=Stop())
    return result.replayed


def states(
    kafka: str,
    topics: Topics,
    *,
    only_open: bool = False,
    limit: int | None = None,
    options: StateOptions = StateOptions(),  # noqa: B008 - immutable
) -> dict[int, str]:
    """Return the states of the listed letters by their offset."""
    criteria = LetterFilter(limit=limit)
    letters, found = run_list(clients_of(kafka, topics), criteria, options, only_open=only_open, stop=Stop())
    return {listed.offset: listed.state for listed in list_letters(letters, found)}


def summary(kafka: str, topics: Topics) -> LetterSummary:
    """Summarize all letters."""
    clients = clients_of(kafka, topics)
    return summarize(*run_list(clients, LetterFilter(), StateOptions(), only_open=False, stop=Stop()))


def clients_of(bootstrap: str, topics: Topics) -> Clients:
    return Clients(load(environ=topics.env(bootstrap)))


def marked(key: bytes | None, value: bytes | None, position: bytes, identity: bytes) -> Outgoing:
    """Return a record that claims to be a replay of the letter at this position."""
    return key, value, [("telco.dlq.replay_of", position), ("telco.dlq.replay_of.topic.id", identity)]
