"""The ledger's arithmetic, against a naive reference that keeps every answer in a list."""

import tracemalloc
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telco_stream.messages.record import Headers
from telco_stream.verify.ledger import Account, Kind, Ledger, PartitionRange
from tests.support.records import FakeRecord

Place = tuple[int, int]

#: Offsets that Kafka has given out so far; two more appear in answers only.
LATEST = 12

places = st.tuples(st.sampled_from([0, 1]), st.integers(0, LATEST - 1))
kinds: st.SearchStrategy[Kind] = st.sampled_from(["prediction", "letter"])
#: Answers name partition 2 too, which the raw topic hasn't.
answers = st.lists(st.tuples(kinds, st.tuples(st.integers(0, 2), st.integers(0, LATEST + 2))), max_size=40)


@given(
    inputs=st.sets(places),
    answers=answers,
    bounds=st.tuples(*[st.integers(0, LATEST)] * 3).map(sorted),
    expired=st.integers(0, LATEST),
)
def test_the_accounts_equal_those_of_a_naive_reference(
    inputs: set[Place], answers: list[tuple[Kind, Place]], bounds: list[int], expired: int
) -> None:
    """Whatever is read, answered, deleted before and while it is read, not committed yet, or never existed."""
    start, deleted, end = bounds
    ledger = Ledger("raw", dict.fromkeys([0, 1], PartitionRange(start, end, LATEST)))
    ledger.add_inputs(_input(*place) for place in inputs if start <= place[1] < end)
    ledger.forget({0: deleted})
    for kind, place in answers:
        ledger.add_answers(kind, [_answer(b"raw/%d/%d" % place)])
    oldest = {0: deleted, 1: start}
    scope = {(number, offset) for number, offset in inputs if oldest.get(number, 0) <= offset < end}
    assert _sums(ledger.accounts({0: expired})) == _reference(scope, answers, oldest, end, expired)


def _reference(
    inputs: set[Place], answers: list[tuple[Kind, Place]], oldest: Mapping[int, int], end: int, expired: int
) -> dict[str, int]:
    given = {place: [kind for kind, source in answers if source == place] for place in inputs}
    silent = [place for place, kinds in given.items() if not kinds]
    return {
        "inputs": len(inputs),
        "predicted": sum(kinds == ["prediction"] for kinds in given.values()),
        "dead_lettered": sum(kinds == ["letter"] for kinds in given.values()),
        "missing": sum(not (number == 0 and offset < expired) for number, offset in silent),
        "duplicated": sum(len(kinds) > 1 for kinds in given.values()),
        "expired": sum(number == 0 and offset < expired for number, offset in silent),
        "unexplained": sum(_is_unexplained(source, inputs, oldest, end) for _, source in answers),
    }


def _is_unexplained(source: Place, inputs: set[Place], oldest: Mapping[int, int], end: int) -> bool:
    number, offset = source
    if number not in oldest or offset >= LATEST:
        return True
    return oldest[number] <= offset < end and source not in inputs


def test_an_answer_each_is_clean_and_every_input_is_in_one_field() -> None:
    ledger = _ledger(4)
    ledger.add_answers("prediction", [_answer(b"raw/0/0"), _answer(b"raw/0/2")])
    ledger.add_answers("letter", [_answer(b"raw/0/1")])
    (account,) = ledger.accounts({})
    assert account == Account(0, 4, 2, 1, 1, 0, 0, 0, ["raw/0/3"], [], [])


def test_two_answers_are_a_duplicate_whatever_they_are() -> None:
    """Twice scored, twice refused, or both; a third changes nothing."""
    ledger = _ledger(4)
    ledger.add_answers("prediction", [_answer(b"raw/0/%d" % offset) for offset in (0, 0, 1, 3)])
    ledger.add_answers("letter", [_answer(b"raw/0/%d" % offset) for offset in (1, 2, 2, 2)])
    (account,) = ledger.accounts({})
    assert (account.duplicated, account.first_duplicated) == (3, ["raw/0/0", "raw/0/1", "raw/0/2"])
    assert (account.inputs, account.predicted) == (4, 1)


def test_the_offset_of_a_marker_is_neither_missing_nor_a_source() -> None:
    ledger = Ledger("raw", {0: PartitionRange(0, 3, 3)})
    ledger.add_inputs([_input(0, 0), _input(0, 2)])
    ledger.add_answers("prediction", [_answer(b"raw/0/0"), _answer(b"raw/0/1", offset=7), _answer(b"raw/0/2")])
    (account,) = ledger.accounts({})
    assert (account.inputs, account.missing, account.unexplained) == (2, 0, 1)
    assert account.first_unexplained == ["answers/0/7"]


def test_an_input_without_an_answer_is_expired_below_the_bound_and_missing_from_it_on() -> None:
    ledger = _ledger(6)
    ledger.add_answers("prediction", [_answer(b"raw/0/4")])
    (account,) = ledger.accounts({0: 3})
    assert (account.expired, account.missing, account.first_missing) == (3, 2, ["raw/0/3", "raw/0/5"])
    (all_of_it,) = ledger.accounts({0: 1_000})
    assert (all_of_it.expired, all_of_it.missing) == (5, 0)


@pytest.mark.parametrize(
    "source", [b"raw/0/-1", b"raw/0/1_0", b"raw/0/ 1", b"raw/0/", b"raw/0/1e1", b"raw/0/" + b"9" * 5000]
)
def test_a_source_without_an_offset_is_unexplained_in_its_partition(source: bytes) -> None:
    ledger = _ledger(2)
    ledger.add_answers("prediction", [_answer(source, offset=3)])
    assert [(one.partition, one.unexplained) for one in ledger.accounts({})] == [(0, 1)]


@pytest.mark.parametrize(
    "source", [None, b"", b"raw", b"/", b"raw/7/0", b"other/0/0", b"raw/00/0", b"raw/0/0/0", b"\xff"]
)
def test_an_answer_that_names_no_partition_of_the_topic_has_an_account_of_its_own(source: bytes | None) -> None:
    ledger = _ledger(2)
    ledger.add_answers("letter", [_answer(source, offset=3)])
    accounts = ledger.accounts({})
    assert [(one.partition, one.inputs, one.unexplained) for one in accounts] == [(0, 2, 0), (None, 0, 1)]
    assert accounts[-1].first_unexplained == ["answers/0/3"]


def test_only_the_first_few_offenders_are_named() -> None:
    ledger = _ledger(100)
    ledger.add_answers("prediction", [_answer(b"raw/0/50")] * 3 + [_answer(b"raw/0/100")] * 30)
    (account,) = ledger.accounts({})
    assert (account.missing, account.unexplained) == (99, 30)
    assert account.first_missing == [f"raw/0/{offset}" for offset in range(5)]
    assert len(account.first_unexplained) == 5


def test_the_oldest_answers_are_known_by_partition_of_answer_and_of_input() -> None:
    """Which is what tells an expired answer from a missing one."""
    ledger = Ledger("raw", dict.fromkeys([0, 1], PartitionRange(0, 9, 9)))
    ledger.add_inputs(_input(number, offset) for number in (0, 1) for offset in range(9))
    ledger.add_answers("letter", [_answer(b"raw/1/4", at=70), _answer(b"raw/0/3", at=80), _answer(b"raw/1/5", at=90)])
    ledger.add_answers("prediction", [_answer(b"raw/9/9"), _answer(b"raw/0/8", at=60, partition=2)])
    assert ledger.oldest == {("letter", 0, 1): 4, ("letter", 0, 0): 3, ("prediction", 2, 0): 8}
    assert ledger.oldest_times == {("letter", 0): 70, ("prediction", 2): 60}


@pytest.mark.parametrize("kind", ["prediction", "letter"])
def test_ledger_finds_no_input_when_the_topic_id_differs(kind: Kind) -> None:
    ledger = _ledger(3, topic_id="now")
    answers = [(b"raw/0/0", b"earlier"), (b"raw/0/1", b"now"), (b"raw/0/2", b""), (b"raw/9/0", b"earlier")]
    ledger.add_answers(kind, [_answer(source, topic_id=one) for source, one in [*answers, (b"other/0/0", b"theirs")]])
    account, nowhere = ledger.accounts({})
    assert (account.missing, account.unexplained, account.answers_to_earlier_topic) == (1, 1, 1)
    assert (nowhere.unexplained, nowhere.answers_to_earlier_topic) == (2, 1)


def test_ledger_ignores_topic_ids_when_its_own_is_unknown() -> None:
    ledger = _ledger(1)
    ledger.add_answers("prediction", [_answer(b"raw/0/0", topic_id=b"any")])
    assert [one.unexplained for one in ledger.accounts({})] == [0]


def test_it_takes_a_byte_an_offset() -> None:
    """So that ten million inputs and their answers stay far below 300 MB."""
    count = 200_000
    tracemalloc.start()
    ledger = _ledger(count)
    ledger.add_answers("prediction", (_answer(b"raw/0/%d" % offset) for offset in range(count)))
    (account,) = ledger.accounts({})
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert account.predicted == count
    assert peak < count + 50_000


def _ledger(inputs: int, topic_id: str | None = None) -> Ledger:
    """A ledger of one partition with that many inputs."""
    ledger = Ledger("raw", {0: PartitionRange(0, inputs, inputs)}, topic_id)
    ledger.add_inputs(_input(0, offset) for offset in range(inputs))
    return ledger


def _input(partition: int, offset: int) -> FakeRecord:
    return FakeRecord(b"{}", offset_=offset, partition_=partition)


def _answer(
    source: bytes | None, *, offset: int = 0, partition: int = 0, at: int = 0, topic_id: bytes | None = None
) -> FakeRecord:
    headers: Headers = [("traceparent", b"x")] + ([] if source is None else [("source", source)])
    headers += [] if topic_id is None else [("source.topic.id", topic_id)]
    return FakeRecord(b"{}", offset, partition, headers_=headers, topic_="answers", timestamp_=at)


def _sums(accounts: list[Account]) -> dict[str, int]:
    names = ("inputs", "predicted", "dead_lettered", "missing", "duplicated", "expired", "unexplained")
    return {name: sum(getattr(one, name) for one in accounts) for name in names}
