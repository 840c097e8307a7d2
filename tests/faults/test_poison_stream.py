"""Generated poison in a stream of good records, on a real Kafka: nothing crashes, stalls or slows the consumer."""

from collections.abc import Iterator
from dataclasses import replace
from random import Random

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from telco_stream.consume.run import ConsumeOptions
from telco_stream.model.artifact import load_scorer
from telco_stream.runtime.files import bundled
from tests.support.consumer_harness import RunningConsumer, answers, coordinates, customers, settings_of, sources
from tests.support.poison import POISONS, bit_flips
from tests.support.topics import Outgoing, Topics, create_topics, delete_topics, fresh_topics, read_topic, send

GOOD = 60_000
#: Records per kind of poison; there are eleven kinds.
POISON_PER_KIND = 25
#: Alternating runs over both streams. The fastest of each are compared, because other load slows single runs.
RUNS = 2


@pytest.fixture
def others(kafka: str) -> Iterator[Topics]:
    """Create the topics for the stream without poison, and delete them afterwards."""
    names = fresh_topics()
    create_topics(kafka, names)
    yield names
    delete_topics(kafka, names)


@pytest.mark.alone
def test_consume_keeps_its_rate_when_the_stream_has_poison(kafka: str, topics: Topics, others: Topics) -> None:
    """Every record is answered, every good one scored, in less than twice the time of the good records alone."""
    good, poison = customers(range(GOOD)), draw_poison()
    assert len(poison) >= 200
    send(kafka, others.raw, good)
    send(kafka, topics.raw, shuffled([*good, *poison]))
    pairs = [(seconds(kafka, others, GOOD), seconds(kafka, topics, GOOD + len(poison))) for _ in range(RUNS)]
    without_poison, with_poison = map(min, zip(*pairs, strict=True))
    assert with_poison < 2 * without_poison, f"{with_poison} s with poison, {without_poison} s without"
    assert sources(answers(kafka, topics)) == sorted(RUNS * coordinates(read_topic(kafka, topics.raw)))
    scored = {(prediction.key or b"").decode() for prediction in read_topic(kafka, topics.predictions)}
    assert scored >= {key for key, _, _ in good}


def draw_poison() -> list[Outgoing]:
    """Draw poison of every kind, and records with flipped bits, of which some may still be valid."""
    records: list[Outgoing] = []
    for kind in (*POISONS.values(), bit_flips()):

        @settings(
            max_examples=POISON_PER_KIND,
            phases=[Phase.generate],
            deadline=None,
            suppress_health_check=list(HealthCheck),
        )
        @given(kind.filter(fits_topic))
        def keep(value: bytes | None) -> None:
            records.append((f"p{len(records)}", value, []))

        keep()
    return records


def fits_topic(value: bytes | None) -> bool:
    """Return whether a topic with default settings accepts the value."""
    return value is None or len(value) < 1_000_000


def shuffled(records: list[Outgoing]) -> list[Outgoing]:
    """Return the records in a random order."""
    order = list(records)
    Random(len(order)).shuffle(order)
    return order


def seconds(kafka: str, topics: Topics, records: int) -> float:
    """Return the time that a new group takes from its first record to its last commit."""
    names = replace(topics, group=fresh_topics().group)
    options = ConsumeOptions("streaming", "exactly-once", max_messages=records, if_answered="restart")
    result = RunningConsumer(settings_of(kafka, names), options, load_scorer(bundled("models/churn"))).result(60)
    assert result.consumed == records
    return result.seconds
