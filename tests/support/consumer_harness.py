"""Runs consumers on a broker inside this process, with real Kafka clients."""

import threading
from collections.abc import Iterable
from concurrent.futures import Future
from typing import Any

from telco_stream.consume.counters import ConsumeResult
from telco_stream.consume.run import ConsumeOptions, run_consume
from telco_stream.kafka.clients import Clients
from telco_stream.kafka.cluster import Cluster
from telco_stream.model.scorer import Scorer
from telco_stream.model.serving import Models, ServingModels
from telco_stream.monitoring.protocols import BatchTimings, PartitionView, ViewPartitions
from telco_stream.runtime.signals import Stop
from telco_stream.scoring import Outcome
from telco_stream.settings import ConsumerSettings, Settings, TopicSettings
from tests.support.records import RuleScorer, good
from tests.support.topics import Outgoing, StoredRecord, Topics, read_topic
from tests.support.waiting import wait_until


def settings_of(bootstrap: str, topics: Topics, kafka: dict[str, str] | None = None, **consumer: Any) -> Settings:
    """Return settings with the topics and the group of a test."""
    return Settings(
        bootstrap_servers=bootstrap,
        topics=TopicSettings(raw=topics.raw, predictions=topics.predictions, deadletter=topics.deadletter),
        consumer=ConsumerSettings(group_id=topics.group, **consumer),
        kafka=kafka or {},
    )


class RunningConsumer:
    """A consumer in a background thread; it scores with `RuleScorer` unless `scorer` is set."""

    def __init__(
        self, settings: Settings, options: ConsumeOptions, scorer: Scorer | None = None, timeout: float = 10.0
    ) -> None:
        self.stop = Stop()
        self.consumed = 0
        self.assigned_at_finish: frozenset[int] | None = None
        self._partitions: ViewPartitions = PartitionView
        self.clients = Clients(settings, timeout)
        self._result: Future[ConsumeResult] = Future()
        self._work = settings, options, Models(ServingModels(scorer or RuleScorer()))
        threading.Thread(target=self._run, daemon=True).start()

    def attach(self, partitions: ViewPartitions) -> None:
        """Receive the function that returns the consumer's partitions."""
        self._partitions = partitions

    def wait_for_start(self, *partitions: int) -> None:
        """Wait until the consumer reads these partitions and has committed their start."""
        wait_until(
            lambda: self._result.done() or set(partitions) <= self._partitions().answered.keys(),
            30,
            f"the start of partitions {partitions}",
        )

    def on_poll(self) -> None:
        """Ignore polls."""

    def on_delivering(self, outcome: Outcome) -> None:
        """Ignore a batch that is not committed yet."""

    def on_committed(self, outcome: Outcome, _timings: BatchTimings) -> None:
        """Count the records of a committed batch."""
        self.consumed += outcome.consumed

    def finish(self) -> None:
        """Record the partitions that the consumer still has."""
        self.assigned_at_finish = self._partitions().assigned

    def wait_for(self, consumed: int, deadline: float = 30) -> None:
        """Wait until `consumed` records are committed, or the run has ended; raise its error."""
        wait_until(lambda: self.consumed >= consumed or self._result.done(), deadline, f"{consumed} answers")
        if self._result.done():
            self._result.result()

    def end(self) -> ConsumeResult:
        """Request a stop and return the result."""
        self.stop.request()
        return self.result(10)

    def result(self, deadline: float = 30) -> ConsumeResult:
        """Wait for the run to end and return its result, or raise its error."""
        return self._result.result(deadline)

    def _run(self) -> None:
        _, options, models = self._work
        try:
            self._result.set_result(run_consume(Cluster(self.clients, self.stop), models, options, observers=[self]))
        except BaseException as error:  # noqa: BLE001 - result() raises it again
            self._result.set_exception(error)


def customers(numbers: Iterable[int]) -> list[Outgoing]:
    """Return a good record for each number, keyed by the number."""
    return [(f"c{number}", good(customerID=f"c{number}"), []) for number in numbers]


def answers(bootstrap: str, topics: Topics) -> list[StoredRecord]:
    """Return the committed predictions and dead letters."""
    return read_topic(bootstrap, topics.predictions) + read_topic(bootstrap, topics.deadletter)


def sources(records: Iterable[StoredRecord]) -> list[str]:
    """Return the sorted `source` headers; equal to the inputs' `coordinates` if each was answered once."""
    return sorted(record.header("source") or "" for record in records)


def coordinates(records: Iterable[StoredRecord]) -> list[str]:
    """Return the records' sorted TOPIC/PARTITION/OFFSET."""
    return sorted(f"{record.topic}/{record.partition}/{record.offset}" for record in records)
