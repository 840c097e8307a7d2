"""A transaction ends for certain: committed, aborted, or fenced by the next producer."""

import threading
import time
from typing import Any, cast

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from telco_stream import errors
from telco_stream.kafka import transactions as room
from telco_stream.kafka.transactions import End, Transactions
from telco_stream.runtime.signals import Stop, Stopped
from tests.support.fakes import FakeProducer, kafka_exception

OFFSETS = [TopicPartition("raw", 0, 7)]
MESSAGES: list[Any] = [("key", b"value", []), ("key", b"other", [])]


class Bench:
    """Transactions on fake producers, which share one log."""

    def __init__(
        self, *failures: dict[str, list[KafkaException | None]], has_unique_id: bool = True, **more: Any
    ) -> None:
        self.log: list[str] = []
        self.stop = Stop()
        self.made: list[FakeProducer] = []
        self._failures = list(failures)
        self.transactions = Transactions(self._make, self.stop, has_unique_id=has_unique_id, **more)

    def run(self) -> End:
        self.log.clear()
        self.transactions.begin()
        self.transactions.send("predictions", MESSAGES)
        return self.transactions.commit(OFFSETS, "generation 1")

    def _make(self) -> Any:
        self.log.append("new")
        self.made.append(FakeProducer(self.log, self._failures.pop(0) if self._failures else {}))
        return self.made[-1]


def late(name: str = "_TIMED_OUT") -> KafkaException:
    return kafka_exception(name, retriable=True)


def test_messages_and_offsets_go_out_in_one_transaction() -> None:
    """In the order that leaves nothing half done, with the group's view that the batch was taken under."""
    bench = Bench()
    assert bench.log == ["new", "init"]
    assert bench.run() is End.COMMITTED
    assert bench.log == ["begin", "send", "send", "offsets", "commit"]
    assert (bench.made[0].offsets, bench.made[0].metadata) == (OFFSETS, "generation 1")


def test_a_transaction_without_offsets_is_messages_alone() -> None:
    bench = Bench()
    bench.transactions.begin()
    bench.transactions.send("raw", MESSAGES)
    assert bench.transactions.commit() is End.COMMITTED
    assert "offsets" not in bench.log


@pytest.mark.parametrize("step", ["init", "offsets", "commit"])
def test_a_call_that_ran_out_of_its_time_is_taken_up_again(step: str) -> None:
    """The client goes on meanwhile, and asks for the call to be repeated."""
    bench = Bench({step: [late(), late()]})
    assert bench.run() is End.COMMITTED
    assert len(bench.made) == 1


def test_an_abortable_error_aborts_and_keeps_the_producer() -> None:
    bench = Bench({"offsets": [kafka_exception("ILLEGAL_GENERATION", txn_requires_abort=True)]})
    assert bench.run() is End.ABORTED
    assert bench.log == ["begin", "send", "send", "offsets", "abort"]
    assert bench.run() is End.COMMITTED
    assert len(bench.made) == 1


@pytest.mark.parametrize("name", ["_TIMED_OUT", "UNKNOWN", "OUT_OF_ORDER_SEQUENCE_NUMBER"])
def test_an_unclear_commit_is_never_repeated_on_the_same_producer(name: str) -> None:
    """The next producer fences the old one, whatever it may still be up to."""
    bench = Bench({"commit": [kafka_exception(name)]})
    assert bench.run() is End.UNCLEAR
    assert bench.log == ["begin", "send", "send", "offsets", "commit", "new", "init"]


def test_a_step_that_never_ends_is_given_up_for_a_new_producer(monkeypatch: pytest.MonkeyPatch) -> None:
    """A request that the client itself has given up on is never answered, however often the call is repeated."""
    monkeypatch.setattr(room, "_STEP_TIMEOUT", 0.05)
    bench = Bench({"commit": [late()] * 1_000_000})
    assert bench.run() is End.UNCLEAR
    assert bench.log[-2:] == ["new", "init"]


def test_a_call_that_never_comes_back_is_left_behind_for_a_new_producer(monkeypatch: pytest.MonkeyPatch) -> None:
    """As `send_offsets_to_transaction` when the coordinator was killed in the middle of it, whatever its time."""
    monkeypatch.setattr(room, "_OFFSETS_TIMEOUT", 0.05)
    bench, over = Bench(), threading.Event()
    cast("Any", bench.made[0]).send_offsets_to_transaction = lambda *_: over.wait(30)
    assert bench.run() is End.UNCLEAR
    over.set()
    assert bench.log == ["begin", "send", "send", "new", "init"]


def test_nothing_is_sent_or_committed_after_a_step_that_failed() -> None:
    bench = Bench({"begin": [kafka_exception("UNKNOWN", fatal=True)]})
    assert bench.run() is End.UNCLEAR
    assert bench.log == ["begin", "new", "init"]


@pytest.mark.parametrize("step", ["offsets", "commit"])
def test_a_fixed_id_that_another_has_taken_over_ends_the_run_with_6(step: str) -> None:
    bench = Bench({step: [kafka_exception("_FENCED", fatal=True)]}, has_unique_id=False)
    with pytest.raises(errors.FencedError, match="Another instance") as caught:
        bench.run()
    assert caught.value.exit_code == 6
    assert len(bench.made) == 1, "a new producer would fence the other in turn, and so on for ever"


@pytest.mark.parametrize("step", ["commit", "offsets"])
def test_a_fixed_id_fenced_after_the_transaction_s_lifetime_is_the_broker_s_own_doing(step: str) -> None:
    """A broker away for long enough ends the transaction itself; nobody has taken over."""
    bench = Bench({step: [kafka_exception("_FENCED", fatal=True)]}, has_unique_id=False, lifetime=0)
    assert bench.run() is End.UNCLEAR
    assert bench.run() is End.COMMITTED


def test_an_abort_that_is_fenced_ends_the_run_with_6_too() -> None:
    bench = Bench(
        {
            "offsets": [kafka_exception("_TIMED_OUT", txn_requires_abort=True)],
            "abort": [kafka_exception("_FENCED", fatal=True)],
        },
        has_unique_id=False,
    )
    with pytest.raises(errors.FencedError):
        bench.run()
    assert len(bench.made) == 1


@pytest.mark.parametrize("word", ["_STATE", "_FATAL"])
def test_what_a_record_meets_in_a_failed_transaction_is_told_by_the_abort(word: str) -> None:
    """The client refuses the record without saying why; were that the cause, a fenced one would fence the other."""
    bench = Bench(
        {"send": [kafka_exception(word)], "abort": [kafka_exception("_FENCED", fatal=True)]}, has_unique_id=False
    )
    with pytest.raises(errors.FencedError):
        bench.run()
    bench = Bench({"send": [kafka_exception(word)]})
    assert bench.run() is End.ABORTED
    assert "commit" not in bench.log


def test_an_id_of_ones_own_is_fenced_by_the_broker_alone_so_it_goes_on() -> None:
    """A transaction that has timed out looks the same as another's taking over."""
    bench = Bench({"commit": [kafka_exception("_FENCED", fatal=True)]}, has_unique_id=True)
    assert bench.run() is End.UNCLEAR
    assert bench.run() is End.COMMITTED


@pytest.mark.parametrize("name", ["TOPIC_AUTHORIZATION_FAILED", "UNKNOWN_TOPIC_OR_PART", "KAFKA_STORAGE_ERROR"])
def test_what_no_repetition_mends_is_aborted_and_ends_the_run_with_3(name: str) -> None:
    bench = Bench({"commit": [kafka_exception(name, txn_requires_abort=True)]})
    with pytest.raises(errors.KafkaError, match="The batch was not committed"):
        bench.run()
    assert bench.log[-1] == "abort"


def test_a_delivery_that_failed_for_good_is_not_tried_for_ever() -> None:
    """The commit only says that a message failed; a topic that was deleted would be tried again and again."""
    bench = Bench({"commit": [kafka_exception("_INCONSISTENT", txn_requires_abort=True)]})
    bench.made[0].refused = KafkaError(KafkaError._UNKNOWN_TOPIC, "unknown topic")
    with pytest.raises(errors.KafkaError, match="topics init"):
        bench.run()


def test_a_delivery_whose_failure_is_known_only_after_the_abort_is_not_tried_again_either() -> None:
    """The client may refuse the offsets of a transaction before it has said what befell its messages."""
    bench = Bench({"offsets": [kafka_exception("_STATE", txn_requires_abort=True)]})
    producer = bench.made[0]
    producer.abort_transaction = lambda _timeout: producer.report(KafkaError(KafkaError.INVALID_RECORD))  # type: ignore[method-assign]
    with pytest.raises(errors.KafkaError, match="clocks"):
        bench.run()


def test_a_delivery_that_was_only_late_is_tried_again() -> None:
    bench = Bench({"commit": [kafka_exception("_INCONSISTENT", txn_requires_abort=True)]})
    bench.made[0].refused = KafkaError(KafkaError._MSG_TIMED_OUT)
    assert bench.run() is End.ABORTED
    assert bench.transactions.failed() == 2
    bench.made[0].refused = None
    assert bench.run() is End.COMMITTED


def test_failures_of_an_earlier_transaction_are_forgotten() -> None:
    inconsistent = kafka_exception("_INCONSISTENT", txn_requires_abort=True)
    bench = Bench({"commit": [None, inconsistent]})
    bench.made[0].refused = KafkaError(KafkaError._UNKNOWN_TOPIC)
    bench.run()
    bench.made[0].refused = None
    assert bench.run() is End.ABORTED


def test_how_transactions_ended_is_counted() -> None:
    bench = Bench({"commit": [None, kafka_exception("UNKNOWN", txn_requires_abort=True), kafka_exception("UNKNOWN")]})
    assert [bench.run() for _ in range(4)] == [End.COMMITTED, End.ABORTED, End.UNCLEAR, End.COMMITTED]
    assert bench.transactions.outcomes() == {"committed": 2, "aborted": 1, "unclear": 1}


def test_a_first_producer_that_can_not_start_in_time_ends_the_run_with_3() -> None:
    """A cluster that can't keep its transaction log never has a coordinator; the broker's words say so."""
    with pytest.raises(errors.KafkaError, match="COORDINATOR_NOT_AVAILABLE"):
        Bench({"init": [late("COORDINATOR_NOT_AVAILABLE")] * 1_000_000}, timeout=0.05)


def test_a_refused_transactional_id_ends_the_run_with_3() -> None:
    with pytest.raises(errors.KafkaError, match="TRANSACTIONAL_ID_AUTHORIZATION_FAILED"):
        Bench({"init": [kafka_exception("TRANSACTIONAL_ID_AUTHORIZATION_FAILED", fatal=True)]})


def test_a_later_producer_is_waited_for() -> None:
    """The broker may be away for long; there is work to go on with once it is back."""
    bench = Bench(
        {"commit": [kafka_exception("_TIMED_OUT")]}, {"init": [kafka_exception("_TIMED_OUT")]}, {"init": [late()] * 3}
    )
    assert bench.run() is End.UNCLEAR
    assert len(bench.made) == 3


@pytest.mark.parametrize("step", ["offsets", "commit", "abort"])
def test_a_stop_leaves_a_transaction_that_gets_nowhere_to_its_timeout(step: str) -> None:
    failures: dict[str, list[KafkaException | None]] = {step: [late()] * 1_000_000}
    if step == "abort":
        failures["offsets"] = [kafka_exception("UNKNOWN", txn_requires_abort=True)]
    bench = Bench(failures)
    bench.stop.request()
    bench.stop._since -= 60
    with pytest.raises(Stopped):
        bench.run()


def test_a_stop_is_heard_while_a_call_blocks_that_knows_no_timeout() -> None:
    """As `send_offsets_to_transaction` does for 30 s when the broker has gone."""
    bench, over = Bench(), threading.Event()
    cast("Any", bench.made[0]).send_offsets_to_transaction = lambda *_: over.wait(30)
    bench.stop.request()
    bench.stop._since -= 60
    started = time.monotonic()
    with pytest.raises(Stopped):
        bench.run()
    over.set()
    assert time.monotonic() - started < 5
