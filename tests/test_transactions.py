"""End of a transaction after each error: committed, aborted, or fenced by the next producer."""

import threading
import time
from typing import Any, cast

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from telco_stream import errors
from telco_stream.kafka import transactions as transactions_module
from telco_stream.kafka.transactions import End, Transactions
from telco_stream.runtime.signals import Stop, Stopped
from tests.support.fakes import FakeProducer, kafka_exception

OFFSETS = [TopicPartition("raw", 0, 7)]
MESSAGES: list[Any] = [("key", b"value", []), ("key", b"other", [])]


class Harness:
    """Transactions with fake producers, which share one log."""

    def __init__(
        self, *failures: dict[str, list[KafkaException | None]], has_unique_id: bool = True, **more: Any
    ) -> None:
        self.log: list[str] = []
        self.stop = Stop()
        self.producers: list[FakeProducer] = []
        self._failures = list(failures)
        self.transactions = Transactions(self._make, self.stop, has_unique_id=has_unique_id, **more)
        self.transactions.start()

    def run(self) -> End:
        self.log.clear()
        self.transactions.begin()
        self.transactions.send("predictions", MESSAGES)
        return self.transactions.commit(OFFSETS, "generation 1")

    def _make(self) -> Any:
        self.log.append("new")
        self.producers.append(FakeProducer(self.log, self._failures.pop(0) if self._failures else {}))
        return self.producers[-1]


def late(name: str = "_TIMED_OUT") -> KafkaException:
    return kafka_exception(name, retriable=True)


def test_commit_sends_messages_and_offsets_together() -> None:
    """Messages, offsets with the batch's group metadata, commit: in this order."""
    harness = Harness()
    assert harness.log == ["new", "init"]
    assert harness.run() is End.COMMITTED
    assert harness.log == ["begin", "send", "send", "offsets", "commit"]
    assert (harness.producers[0].offsets, harness.producers[0].metadata) == (OFFSETS, "generation 1")


def test_commit_sends_messages_alone_without_offsets() -> None:
    harness = Harness()
    harness.transactions.begin()
    harness.transactions.send("raw", MESSAGES)
    assert harness.transactions.commit() is End.COMMITTED
    assert "offsets" not in harness.log


@pytest.mark.parametrize("step", ["init", "offsets", "commit"])
def test_transaction_resumes_a_call_when_it_timed_out(step: str) -> None:
    """The client continues the call, and asks the caller to repeat it."""
    harness = Harness({step: [late(), late()]})
    assert harness.run() is End.COMMITTED
    assert len(harness.producers) == 1


def test_commit_keeps_the_producer_when_the_error_is_abortable() -> None:
    harness = Harness({"offsets": [kafka_exception("ILLEGAL_GENERATION", txn_requires_abort=True)]})
    assert harness.run() is End.ABORTED
    assert harness.log == ["begin", "send", "send", "offsets", "abort"]
    assert harness.run() is End.COMMITTED
    assert len(harness.producers) == 1


@pytest.mark.parametrize("name", ["_TIMED_OUT", "UNKNOWN", "OUT_OF_ORDER_SEQUENCE_NUMBER"])
def test_commit_renews_the_producer_when_its_outcome_is_unclear(name: str) -> None:
    """The next producer fences the old one, which may still have requests in flight."""
    harness = Harness({"commit": [kafka_exception(name)]})
    assert harness.run() is End.UNCLEAR
    assert harness.log == ["begin", "send", "send", "offsets", "commit", "new", "init"]


def test_commit_renews_the_producer_when_a_step_never_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """A request that the client has lost is never answered, no matter how often the call is repeated."""
    monkeypatch.setattr(transactions_module, "_STEP_TIMEOUT", 0.05)
    harness = Harness({"commit": [late()] * 1_000_000})
    assert harness.run() is End.UNCLEAR
    assert harness.log[-2:] == ["new", "init"]


def test_commit_renews_the_producer_when_a_call_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    """`send_offsets_to_transaction` may hang if the coordinator is killed during the call."""
    monkeypatch.setattr(transactions_module, "_OFFSETS_TIMEOUT", 0.05)
    harness, over = Harness(), threading.Event()
    cast("Any", harness.producers[0]).send_offsets_to_transaction = lambda *_: over.wait(30)
    assert harness.run() is End.UNCLEAR
    over.set()
    assert harness.log == ["begin", "send", "send", "new", "init"]


def test_transaction_skips_later_steps_when_one_failed() -> None:
    harness = Harness({"begin": [kafka_exception("UNKNOWN", fatal=True)]})
    assert harness.run() is End.UNCLEAR
    assert harness.log == ["begin", "new", "init"]


@pytest.mark.parametrize("step", ["offsets", "commit"])
def test_commit_raises_fenced_when_a_fixed_id_is_taken_over(step: str) -> None:
    harness = Harness({step: [kafka_exception("_FENCED", fatal=True)]}, has_unique_id=False)
    with pytest.raises(errors.FencedError, match=r"^Another instance has taken over; stop one of them$") as caught:
        harness.run()
    assert caught.value.exit_code == 6
    assert len(harness.producers) == 1, "a new producer would fence the other in turn, and so on for ever"


@pytest.mark.parametrize("step", ["commit", "offsets"])
def test_commit_renews_when_fenced_after_the_lifetime(step: str) -> None:
    """After a long outage, the broker has aborted the transaction; no other process has taken over."""
    harness = Harness({step: [kafka_exception("_FENCED", fatal=True)]}, has_unique_id=False, lifetime=0)
    assert harness.run() is End.UNCLEAR
    assert harness.run() is End.COMMITTED


def test_commit_raises_fenced_when_the_abort_is_fenced() -> None:
    harness = Harness(
        {
            "offsets": [kafka_exception("_TIMED_OUT", txn_requires_abort=True)],
            "abort": [kafka_exception("_FENCED", fatal=True)],
        },
        has_unique_id=False,
    )
    with pytest.raises(errors.FencedError):
        harness.run()
    assert len(harness.producers) == 1


@pytest.mark.parametrize("word", ["_STATE", "_FATAL"])
def test_commit_takes_the_cause_from_the_abort_when_send_fails(word: str) -> None:
    """`produce()` fails without the cause; taken as the cause, a fenced process would fence the other one."""
    harness = Harness(
        {"send": [kafka_exception(word)], "abort": [kafka_exception("_FENCED", fatal=True)]}, has_unique_id=False
    )
    with pytest.raises(errors.FencedError):
        harness.run()
    harness = Harness({"send": [kafka_exception(word)]})
    assert harness.run() is End.ABORTED
    assert "commit" not in harness.log


def test_commit_renews_when_a_unique_id_is_fenced() -> None:
    """A transaction that timed out gives the same error as a takeover."""
    harness = Harness({"commit": [kafka_exception("_FENCED", fatal=True)]}, has_unique_id=True)
    assert harness.run() is End.UNCLEAR
    assert harness.run() is End.COMMITTED


@pytest.mark.parametrize("name", ["TOPIC_AUTHORIZATION_FAILED", "UNKNOWN_TOPIC_OR_PART", "KAFKA_STORAGE_ERROR"])
def test_commit_aborts_and_raises_when_error_is_permanent(name: str) -> None:
    harness = Harness({"commit": [kafka_exception(name, txn_requires_abort=True)]})
    with pytest.raises(errors.KafkaError, match="The batch was not committed"):
        harness.run()
    assert harness.log[-1] == "abort"


def test_commit_raises_when_a_delivery_failed_permanently() -> None:
    """The commit's error only says that a message failed: a deleted topic would be retried forever."""
    harness = Harness({"commit": [kafka_exception("_INCONSISTENT", txn_requires_abort=True)]})
    harness.producers[0].refused = KafkaError(KafkaError._UNKNOWN_TOPIC, "unknown topic")
    with pytest.raises(errors.KafkaError, match="topics init"):
        harness.run()


def test_commit_raises_when_the_abort_reveals_a_failed_delivery() -> None:
    """The client may reject the offsets before it has reported the failed messages."""
    harness = Harness({"offsets": [kafka_exception("_STATE", txn_requires_abort=True)]})
    producer = harness.producers[0]
    producer.abort_transaction = lambda _timeout: producer.report(KafkaError(KafkaError.INVALID_RECORD))  # type: ignore[method-assign]
    with pytest.raises(errors.KafkaError, match="clocks"):
        harness.run()


def test_commit_aborts_when_a_delivery_timed_out() -> None:
    harness = Harness({"commit": [kafka_exception("_INCONSISTENT", txn_requires_abort=True)]})
    harness.producers[0].refused = KafkaError(KafkaError._MSG_TIMED_OUT)
    assert harness.run() is End.ABORTED
    assert harness.transactions.failed() == 2
    harness.producers[0].refused = None
    assert harness.run() is End.COMMITTED


def test_begin_clears_failures_of_the_last_transaction() -> None:
    inconsistent = kafka_exception("_INCONSISTENT", txn_requires_abort=True)
    harness = Harness({"commit": [None, inconsistent]})
    harness.producers[0].refused = KafkaError(KafkaError._UNKNOWN_TOPIC)
    harness.run()
    harness.producers[0].refused = None
    assert harness.run() is End.ABORTED


def test_outcomes_counts_transactions_by_how_they_ended() -> None:
    harness = Harness(
        {"commit": [None, kafka_exception("UNKNOWN", txn_requires_abort=True), kafka_exception("UNKNOWN")]}
    )
    assert [harness.run() for _ in range(4)] == [End.COMMITTED, End.ABORTED, End.UNCLEAR, End.COMMITTED]
    assert harness.transactions.outcomes() == {"committed": 2, "aborted": 1, "unclear": 1}


def test_transactions_raise_when_the_first_start_times_out() -> None:
    """A cluster that cannot create its transaction log never has a coordinator; the broker's error says so."""
    with pytest.raises(errors.KafkaError, match="COORDINATOR_NOT_AVAILABLE"):
        Harness({"init": [late("COORDINATOR_NOT_AVAILABLE")] * 1_000_000}, timeout=0.05)


def test_transactions_raise_when_the_id_is_refused() -> None:
    with pytest.raises(errors.KafkaError, match="TRANSACTIONAL_ID_AUTHORIZATION_FAILED"):
        Harness({"init": [kafka_exception("TRANSACTIONAL_ID_AUTHORIZATION_FAILED", fatal=True)]})


def test_commit_waits_when_a_later_producer_cannot_start() -> None:
    """The broker may be away for a long time; the run continues once it is back."""
    harness = Harness(
        {"commit": [kafka_exception("_TIMED_OUT")]}, {"init": [kafka_exception("_TIMED_OUT")]}, {"init": [late()] * 3}
    )
    assert harness.run() is End.UNCLEAR
    assert len(harness.producers) == 3


def test_producer_starts_in_short_calls_that_grow_to_half_a_second() -> None:
    """A resumed call looks for the coordinator at once, and a coordinator that is away is asked less and less often."""
    harness = Harness({"init": [late()] * 12})
    timeouts = harness.producers[0].init_timeouts
    assert (timeouts[0], timeouts[-1]) == (0.02, 0.5)
    assert timeouts == sorted(timeouts)
    assert sum(timeouts[:5]) < 0.3


@pytest.mark.parametrize("step", ["offsets", "commit", "abort"])
def test_commit_raises_stopped_when_a_step_gets_no_answer(step: str) -> None:
    failures: dict[str, list[KafkaException | None]] = {step: [late()] * 1_000_000}
    if step == "abort":
        failures["offsets"] = [kafka_exception("UNKNOWN", txn_requires_abort=True)]
    harness = Harness(failures)
    harness.stop.request()
    harness.stop._since -= 60
    with pytest.raises(Stopped):
        harness.run()


def test_commit_raises_stopped_when_a_call_ignores_its_timeout() -> None:
    """`send_offsets_to_transaction` blocks for 30 s when the broker is away."""
    harness, over = Harness(), threading.Event()
    cast("Any", harness.producers[0]).send_offsets_to_transaction = lambda *_: over.wait(30)
    harness.stop.request()
    harness.stop._since -= 60
    started = time.monotonic()
    with pytest.raises(Stopped):
        harness.run()
    over.set()
    assert time.monotonic() - started < 5
