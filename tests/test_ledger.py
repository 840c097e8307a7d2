"""Counts of the ledger, compared with a naive reference that keeps all answers in a list."""

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telco_stream.checks.ledger import Account, AnswerKind, Ledger, PartitionRange
from telco_stream.messages.record import Headers
from tests.support.memory import peak_memory
from tests.support.records import FakeRecord

Source = tuple[int, int]

#: End offset of the raw topic; answers also name two offsets above it.
LATEST = 12

positions = st.tuples(st.sampled_from([0, 1]), st.integers(0, LATEST - 1))
kinds: st.SearchStrategy[AnswerKind] = st.sampled_from(["prediction", "letter"])
#: Answers also name partition 2, which the raw topic doesn't have.
answers = st.lists(st.tuples(kinds, st.tuples(st.integers(0, 2), st.integers(0, LATEST + 2))), max_size=40)


@given(
    inputs=st.sets(positions),
    answers=answers,
    bounds=st.tuples(*[st.integers(0, LATEST)] * 3).map(sorted),
    expired=st.integers(0, LATEST),
)
def test_ledger_accounts_equal_a_naive_reference(
    inputs: set[Source], answers: list[tuple[AnswerKind, Source]], bounds: list[int], expired: int
) -> None:
    """Including inputs that are deleted before or while they are read, not committed yet, or never existed."""
    start, deleted, end = bounds
    ledger = Ledger("raw", dict.fromkeys([0, 1], PartitionRange(start, end, LATEST)))
    ledger.add_inputs(_input(*position) for position in inputs if start <= position[1] < end)
    ledger.forget({0: deleted})
    for kind, position in answers:
        ledger.add_answers(kind, [_answer(b"raw/%d/%d" % position)])
    oldest = {0: deleted, 1: start}
    expected = {(number, offset) for number, offset in inputs if oldest.get(number, 0) <= offset < end}
    assert _sums(ledger.accounts({0: expired})) == _reference(expected, answers, oldest, end, expired)


def _reference(
    inputs: set[Source], answers: list[tuple[AnswerKind, Source]], oldest: Mapping[int, int], end: int, expired: int
) -> dict[str, int]:
    given = {position: [kind for kind, source in answers if source == position] for position in inputs}
    silent = [position for position, kinds in given.items() if not kinds]
    return {
        "inputs": len(inputs),
        "predicted": sum(kinds == ["prediction"] for kinds in given.values()),
        "dead_lettered": sum(kinds == ["letter"] for kinds in given.values()),
        "missing": sum(not (number == 0 and offset < expired) for number, offset in silent),
        "duplicated": sum(len(kinds) > 1 for kinds in given.values()),
        "expired": sum(number == 0 and offset < expired for number, offset in silent),
        "unexplained": sum(_is_unexplained(source, inputs, oldest, end) for _, source in answers),
    }


def _is_unexplained(source: Source, inputs: set[Source], oldest: Mapping[int, int], end: int) -> bool:
    number, offset = source
    if number not in oldest or offset >= LATEST:
        return True
    return oldest[number] <= offset < end and source not in inputs


def test_ledger_counts_inputs_beyond_the_range_as_unanswered() -> None:
    """They are not verified, even if they have answers already."""
    ledger = Ledger("raw", {0: PartitionRange(2, 4, LATEST), 1: PartitionRange(5, 3, LATEST)})
    ledger.add_inputs(_input(0, offset) for offset in range(2, 7))
    ledger.add_inputs(_input(1, offset) for offset in (5, 9))
    ledger.add_answers("prediction", [_answer(b"raw/0/%d" % offset) for offset in (2, 3, 4)])
    accounts = ledger.accounts({})
    assert [(account.inputs, account.predicted, account.unanswered) for account in accounts] == [(2, 2, 3), (0, 0, 2)]


def test_ledger_counts_each_input_in_one_field() -> None:
    ledger = _ledger(4)
    ledger.add_answers("prediction", [_answer(b"raw/0/0"), _answer(b"raw/0/2")])
    ledger.add_answers("letter", [_answer(b"raw/0/1")])
    (account,) = ledger.accounts({})
    assert account == Account(0, 4, 2, 1, 1, 0, 0, 0, ["raw/0/3"], [], [])


def test_ledger_counts_an_input_answered_twice_as_duplicated() -> None:
    """Two predictions, two dead letters, or one of each; a third answer changes nothing."""
    ledger = _ledger(4)
    ledger.add_answers("prediction", [_answer(b"raw/0/%d" % offset) for offset in (0, 0, 1, 3)])
    ledger.add_answers("letter", [_answer(b"raw/0/%d" % offset) for offset in (1, 2, 2, 2)])
    (account,) = ledger.accounts({})
    assert (account.duplicated, account.first_duplicated) == (3, ["raw/0/0", "raw/0/1", "raw/0/2"])
    assert (account.inputs, account.predicted) == (4, 1)


def test_ledger_ignores_offsets_of_transaction_markers() -> None:
    ledger = Ledger("raw", {0: PartitionRange(0, 3, 3)})
    ledger.add_inputs([_input(0, 0), _input(0, 2)])
    ledger.add_answers("prediction", [_answer(b"raw/0/0"), _answer(b"raw/0/1", offset=7), _answer(b"raw/0/2")])
    (account,) = ledger.accounts({})
    assert (account.inputs, account.missing, account.unexplained) == (2, 0, 1)
    assert account.first_unexplained == ["answers/0/7"]


def test_ledger_counts_an_unanswered_input_as_expired_or_missing() -> None:
    ledger = _ledger(6)
    ledger.add_answers("prediction", [_answer(b"raw/0/4")])
    (account,) = ledger.accounts({0: 3})
    assert (account.expired, account.missing, account.first_missing) == (3, 2, ["raw/0/3", "raw/0/5"])
    (all_expired,) = ledger.accounts({0: 1_000})
    assert (all_expired.expired, all_expired.missing) == (5, 0)


@pytest.mark.parametrize(
    "source", [b"raw/0/-1", b"raw/0/1_0", b"raw/0/ 1", b"raw/0/", b"raw/0/1e1", b"raw/0/" + b"9" * 5000]
)
def test_ledger_counts_an_answer_as_unexplained_without_offset(source: bytes) -> None:
    ledger = _ledger(2)
    ledger.add_answers("prediction", [_answer(source, offset=3)])
    assert [(account.partition, account.unexplained) for account in ledger.accounts({})] == [(0, 1)]


@pytest.mark.parametrize(
    "source", [None, b"", b"raw", b"/", b"raw/7/0", b"other/0/0", b"raw/00/0", b"raw/0/0/0", b"\xff"]
)
def test_ledger_has_an_extra_account_when_the_source_is_unknown(source: bytes | None) -> None:
    ledger = _ledger(2)
    ledger.add_answers("letter", [_answer(source, offset=3)])
    accounts = ledger.accounts({})
    assert [(account.partition, account.inputs, account.unexplained) for account in accounts] == [
        (0, 2, 0),
        (None, 0, 1),
    ]
    assert accounts[-1].first_unexplained == ["answers/0/3"]


def test_ledger_names_only_the_first_five_positions() -> None:
    ledger = _ledger(100)
    ledger.add_answers("prediction", [_answer(b"raw/0/50")] * 3 + [_answer(b"raw/0/100")] * 30)
    (account,) = ledger.accounts({})
    assert (account.missing, account.unexplained) == (99, 30)
    assert account.first_missing == [f"raw/0/{offset}" for offset in range(5)]
    assert len(account.first_unexplained) == 5


def test_ledger_remembers_the_oldest_answer_per_partition() -> None:
    """This distinguishes expired answers from missing ones."""
    ledger = Ledger("raw", dict.fromkeys([0, 1], PartitionRange(0, 9, 9)))
    ledger.add_inputs(_input(number, offset) for number in (0, 1) for offset in range(9))
    ledger.add_answers("letter", [_answer(b"raw/1/4", at=70), _answer(b"raw/0/3", at=80), _answer(b"raw/1/5", at=90)])
    ledger.add_answers("prediction", [_answer(b"raw/9/9"), _answer(b"raw/0/8", at=60, partition=2)])
    assert ledger.oldest == {("letter", 0, 1): 4, ("letter", 0, 0): 3, ("prediction", 2, 0): 8}
    assert ledger.oldest_times == {("letter", 0): 70, ("prediction", 2): 60}


@pytest.mark.parametrize("kind", ["prediction", "letter"])
def test_ledger_finds_no_input_when_the_topic_id_differs(kind: AnswerKind) -> None:
    ledger = _ledger(3, topic_id="now")
    answers = [(b"raw/0/0", b"earlier"), (b"raw/0/1", b"now"), (b"raw/0/2", b""), (b"raw/9/0", b"earlier")]
    ledger.add_answers(
        kind, [_answer(source, topic_id=other) for source, other in [*answers, (b"other/0/0", b"theirs")]]
    )
    account, unmatched = ledger.accounts({})
    assert (account.missing, account.unexplained, account.answers_to_earlier_topic) == (1, 1, 1)
    assert (unmatched.unexplained, unmatched.answers_to_earlier_topic) == (2, 1)


@pytest.mark.parametrize("topic_id", ["now", None])
def test_ledger_ignores_letters_of_outcomes(topic_id: str | None) -> None:
    """Those of another topic have no input, and no prediction answers an outcome."""
    ledger = Ledger("raw", {0: PartitionRange(0, 1, 1)}, topic_id, outcomes="outcomes")
    ledger.add_inputs([_input(0, 0)])
    sources = [b"outcomes/0/0", b"outcomes/7/9", b"outcomes.old/0/0", b"outcomes/0", b"outcomes"]
    letters = [_answer(source, topic_id=b"theirs") for source in sources]
    ledger.add_answers("letter", [*letters, _answer(b"raw/0/0")])
    ledger.add_answers("prediction", letters[:1])
    account, unmatched = ledger.accounts({})
    assert (account.inputs, account.dead_lettered, account.unexplained) == (1, 1, 0)
    assert (unmatched.unexplained, ledger.other_sources) == (4, {"outcomes.old", "outcomes"})


def test_ledger_ignores_topic_ids_when_its_own_is_unknown() -> None:
    ledger = _ledger(1)
    ledger.add_answers("prediction", [_answer(b"raw/0/0", topic_id=b"any")])
    assert [account.unexplained for account in ledger.accounts({})] == [0]


def test_ledger_takes_one_byte_per_offset() -> None:
    """So ten million inputs and their answers take far less than 300 MB."""
    count = 200_000
    assert peak_memory(_predict_all, count) < count + 50_000


def _predict_all(count: int) -> None:
    """Add this number of inputs to a ledger, and a prediction to each."""
    ledger = _ledger(count)
    ledger.add_answers("prediction", (_answer(b"raw/0/%d" % offset) for offset in range(count)))
    (account,) = ledger.accounts({})
    assert account.predicted == count


def _ledger(inputs: int, topic_id: str | None = None) -> Ledger:
    """Return a ledger of one partition with this number of inputs."""
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
    return {name: sum(getattr(account, name) for account in accounts) for name in names}
