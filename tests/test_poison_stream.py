"""Generated poison in a stream of good records, on a real Kafka: nothing crashes, stalls or slows the consumer."""

from collections.abc import Iterator
from dataclasses import replace
from random import Random

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from telco_stream.consume.run import ConsumeOptions
from telco_stream.model.artifact import load_scorer
from telco_stream.runtime.bundled import bundled
from tests.support.consumer_harness import RunningConsumer, answers, coordinates, customers, settings_of, sources
from tests.support.poison import POISONS, bit_flips
from tests.support.topics import Outgoing, Topics, create_topics, delete_topics, fresh_topics, read_topic, send

GOOD = 60_000
#: Of each kind; eleven kinds of them are more than the 200 that there must be.
EACH = 25
#: Runs over each stream, in turn, and of each the best is compared: what else the machine does slows single ones.
RUNS = 2


@pytest.fixture
def others(kafka: str) -> Iterator[Topics]:
    """Topics for the stream without poison."""
    names = fresh_topics()
    create_topics(kafka, names)
    yield names
    delete_topics(kafka, names)


@pytest.mark.alone
def test_consume_keeps_its_rate_when_the_stream_has_poison(kafka: str, topics: Topics, others: Topics) -> None:
    """Every good record is scored, every other one answered too, and all of it takes less than twice the time."""
    good, poison = customers(range(GOOD)), drawn()
    assert len(poison) >= 200
    send(kafka, others.raw, good)
    send(kafka, topics.raw, mixed(good, poison))
    pairs = [(seconds(kafka, others, GOOD), seconds(kafka, topics, GOOD + len(poison))) for _ in range(RUNS)]
    alone, among = map(min, zip(*pairs, strict=True))
    assert among < 2 * alone, f"{among} s with poison, {alone} s without"
    assert sources(answers(kafka, topics)) == sorted(RUNS * coordinates(read_topic(kafka, topics.raw)))
    scored = {(kept.key or b"").decode() for kept in read_topic(kafka, topics.predictions)}
    assert scored >= {key for key, _, _ in good}


def drawn() -> list[Outgoing]:
    """Poison of every kind, and records with turned bits, of which some may still be good."""
    found: list[Outgoing] = []
    for kind in (*POISONS.values(), bit_flips()):

        @settings(max_examples=EACH, phases=[Phase.generate], deadline=None, suppress_health_check=list(HealthCheck))
        @given(kind.filter(fits))
        def keep(value: bytes | None) -> None:
            found.append((f"p{len(found)}", value, []))

        keep()
    return found


def fits(value: bytes | None) -> bool:
    """Whether a topic takes it that nobody has set otherwise, with some room for its neighbours in a batch."""
    return value is None or len(value) < 1_000_000


def mixed(good: list[Outgoing], poison: list[Outgoing]) -> list[Outgoing]:
    """Poison at random places among the good ones."""
    together = [*good, *poison]
    Random(len(poison)).shuffle(together)
    return together


def seconds(kafka: str, topics: Topics, records: int) -> float:
    """How long a new group takes for the stream, from the first record taken to the last one committed."""
    names = replace(topics, group=fresh_topics().group)
    order = ConsumeOptions("streaming", "exactly-once", max_messages=records, if_answered="restart")
    result = RunningConsumer(settings_of(kafka, names), order, load_scorer(bundled("models/churn"))).result(60)
    assert result.consumed == records
    return result.seconds
