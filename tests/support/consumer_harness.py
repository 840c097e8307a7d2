"""The consume side on a broker, in this process, through real doors."""

import threading
from collections.abc import Iterable
from concurrent.futures import Future
from typing import Any

from telco_stream.consume.counters import ConsumeResult
from telco_stream.consume.run import ConsumeOptions, run_consume
from telco_stream.kafka.clients import Clients
from telco_stream.model.scorer import Scorer
from telco_stream.monitoring.health import PartitionView
from telco_stream.monitoring.protocols import BatchTimings
from telco_stream.runtime.signals import Stop
from telco_stream.scoring import Outcome
from telco_stream.settings import ConsumerSettings, Settings, TopicSettings
from tests.support.records import RuleScorer, good
from tests.support.topics import Outgoing, StoredRecord, Topics, read_topic
from tests.support.waiting import wait_until


def settings_of(bootstrap: str, topics: Topics, kafka: dict[str, str] | None = None, **consumer: Any) -> Settings:
    """Settings that name the test's own topics and group."""
    return Settings(
        bootstrap_servers=bootstrap,
        topics=TopicSettings(raw=topics.raw, predictions=topics.predictions, deadletter=topics.deadletter),
        consumer=ConsumerSettings(group_id=topics.group, **consumer),
        kafka=kafka or {},
    )


class RunningConsumer:
    """A consumer at work in a thread of this process, on a model that answers by rule unless given another."""

    def __init__(
        self, settings: Settings, order: ConsumeOptions, scorer: Scorer | None = None, timeout: float = 10.0
    ) -> None:
        self.stop = Stop()
        self.consumed = 0
        self._source: PartitionView | None = None
        self.clients = Clients(settings, timeout)
        self._result: Future[ConsumeResult] = Future()
        self._work = settings, order, scorer or RuleScorer()
        threading.Thread(target=self._run, daemon=True).start()

    def on(self, source: PartitionView) -> None:
        """The topic is read from there."""
        self._source = source

    def wait_for_start(self, *partitions: int) -> None:
        """Wait until it reads these partitions, and their start is committed."""
        wait_until(
            lambda: (
                self._result.done() or (self._source is not None and set(partitions) <= self._source.answered.keys())
            ),
            30,
            f"the start of partitions {partitions}",
        )

    def on_poll(self) -> None:
        """The loop has come round."""

    def on_committed(self, outcome: Outcome, _seconds: BatchTimings) -> None:
        """A batch is committed."""
        self.consumed += outcome.consumed

    def wait_for(self, consumed: int, deadline: float = 30) -> None:
        """So many records are answered, or the run has ended."""
        wait_until(lambda: self.consumed >= consumed or self._result.done(), deadline, f"{consumed} answers")
        if self._result.done():
            self._result.result()

    def end(self) -> ConsumeResult:
        """It has been asked to stop, and did."""
        self.stop.request()
        return self.result(10)

    def result(self, deadline: float = 30) -> ConsumeResult:
        """What it did, once it has ended by itself."""
        return self._result.result(deadline)

    def _run(self) -> None:
        _, order, scorer = self._work
        try:
            self._result.set_result(run_consume(self.clients, scorer, order, stop=self.stop, watch=self))
        except BaseException as error:  # noqa: BLE001 - it is raised again where the result is asked for
            self._result.set_exception(error)


def customers(numbers: Iterable[int]) -> list[Outgoing]:
    """A good record for each number, under a key of its own."""
    return [(f"c{one}", good(customerID=f"c{one}"), []) for one in numbers]


def answers(bootstrap: str, topics: Topics) -> list[StoredRecord]:
    """The predictions and dead letters that a reader of committed records sees."""
    return read_topic(bootstrap, topics.predictions) + read_topic(bootstrap, topics.deadletter)


def sources(kept: Iterable[StoredRecord]) -> list[str]:
    """Which inputs are answered, in order: equal to what `coordinates` says where each is answered once."""
    return sorted(one.header("source") or "" for one in kept)


def coordinates(kept: Iterable[StoredRecord]) -> list[str]:
    """Where the inputs stand, in order."""
    return sorted(f"{one.topic}/{one.partition}/{one.offset}" for one in kept)
