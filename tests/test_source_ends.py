"""End of a transactional partition, reported in the same batch as its last records."""

from typing import Any, cast

import pytest
from confluent_kafka import KafkaError

from telco_stream.errors import KafkaError as TelcoStreamError
from telco_stream.kafka.clients import Clients
from telco_stream.kafka.cluster import Cluster
from telco_stream.kafka.reading import _Reader
from telco_stream.kafka.source import KafkaSource, Subscription
from telco_stream.kafka.starts import TopicToRead
from telco_stream.runtime.signals import Stop
from telco_stream.settings import load
from tests.support.fake_messages import ScriptedConsumer, ScriptedMessage, end
from tests.support.fakes import ask_nothing_kept

#: Records at 0 and 1, a marker at 2.
SCRIPT = [ScriptedMessage(0), ScriptedMessage(1), end(3)]


def test_source_has_ended_when_its_partitions_end() -> None:
    """The last record is before the marker, and no record follows it."""
    source = KafkaSource(
        cast("Any", ScriptedConsumer([*SCRIPT])),
        Subscription(TopicToRead("raw", ask_nothing_kept)),
        Stop(),
        until={0: 3},
    )
    assert len(source.poll_batch(10, 0).records) == 2
    assert source.ended


def test_reader_has_ended_when_its_partitions_end() -> None:
    reader = _reader([*SCRIPT], 3)
    assert [[record.offset() for record in batch] for batch in reader.batches()] == [[0, 1]]


def test_reader_drops_records_when_they_are_after_the_end() -> None:
    reader = _reader([ScriptedMessage(0), ScriptedMessage(4), ScriptedMessage(5), end(7)], 4)
    assert [[record.offset() for record in batch] for batch in reader.batches()] == [[0]]


def test_reader_gives_up_when_only_errors_arrive() -> None:
    """Messages without progress must not extend its deadline."""
    script = [ScriptedMessage(0, code=KafkaError.NOT_COORDINATOR)] * 30_000
    with pytest.raises(TelcoStreamError, match="topic raw"):
        list(_reader(script, 3).batches())
    assert script, "it gave up before the errors ended"


def test_reader_names_the_offset_of_an_unreadable_batch() -> None:
    script = [ScriptedMessage(0), ScriptedMessage(1, code=KafkaError._BAD_COMPRESSION), end(3)]
    with pytest.raises(TelcoStreamError, match="partition 0, offset 1"):
        list(_reader(script, 3).batches())


def _reader(script: list[ScriptedMessage], to: int) -> _Reader:
    return _Reader(Cluster(_Clients(script)), "raw", {0: (0, to)})


class _Clients(Clients):
    """Clients without a broker, whose reader returns a script."""

    def __init__(self, script: list[ScriptedMessage]) -> None:
        super().__init__(load(environ={}), timeout=0)
        self._script = script

    def reader(self) -> Any:
        return ScriptedConsumer(self._script)
