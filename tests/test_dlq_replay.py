"""`dlq replay` without Kafka: the raw topic is a list, and what has gone back stands in it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telco_stream.batch import Limits, process
from telco_stream.contracts.deadletter import decode_dead_letter, replay_of
from telco_stream.dlq.letters import Place, Wanted
from telco_stream.dlq.replay import ReplayDoors, ReplayOrder, ReplayResult, replay
from telco_stream.records import Outgoing, Record
from telco_stream.stop import Stop, Stopped
from tests.support.letters import NOW, WRITTEN, letter
from tests.support.records import Fake, RuleScorer, good, refuse


@dataclass
class Raw:
    """A raw topic in memory. `ends` says how its next transactions end: committed, aborted, or unclear but applied."""

    records: list[Fake] = field(default_factory=list)
    ends: list[str] = field(default_factory=list)
    log: list[str] = field(default_factory=list)
    asked: list[int] = field(default_factory=list)
    stop: Stop = field(default_factory=Stop)

    def gone(self, since: int) -> set[Place]:
        self.log.append("gone")
        self.asked.append(since)
        return {place for record in self.records if (place := replay_of(record))}

    def send(self, messages: Sequence[Outgoing]) -> bool:
        end = self.ends.pop(0) if self.ends else "committed"
        self.log.append(f"send {len(messages)} {end}")
        if end == "stopped":
            raise Stopped
        if end != "aborted":
            for key, value, headers in messages:
                assert not isinstance(key, str)
                self.records.append(Fake(value, len(self.records), 0, key, headers))
        if end == "last":
            self.stop.request()
        return end in {"committed", "last"}

    def values(self) -> list[bytes | None]:
        return [record.value() for record in self.records]


def test_a_letter_goes_back_as_the_record_that_it_was() -> None:
    raw = Raw()
    told = run([letter(b"hello", 7, partition=2, key=b"k", headers=[("traceparent", b"00-1")])], raw)
    assert told == ReplayResult(selected=1, replayed=1, skipped={})
    assert (raw.records[0].key(), raw.records[0].value()) == (b"k", b"hello")
    assert raw.records[0].headers() == [
        ("traceparent", b"00-1"),
        ("telco.dlq.retry_count", b"1"),
        ("telco.dlq.replay_of", b"2/7"),
    ]


@pytest.mark.parametrize("value", [None, b"", b"\xff\x00", b"\x01", "Ж🙂".encode(), b"x" * 900_000])
@pytest.mark.parametrize("key", [None, b"", b"\xff"])
def test_key_and_bytes_are_the_original_ones(value: bytes | None, key: bytes | None) -> None:
    raw = Raw()
    run([letter(value, key=key)], raw)
    assert (raw.records[0].key(), raw.values() == [value]) == (key, True)


def test_a_dry_run_sends_nothing_and_tells_what_would_go() -> None:
    raw = Raw([Fake(b"", headers_=[("telco.dlq.replay_of", b"0/1")])])
    told = run([letter(offset=n) for n in range(3)], raw, execute=False)
    assert told == ReplayResult(selected=3, replayed=0, skipped={"dry run": 2, "already replayed": 1})
    assert raw.log == ["gone"]


def test_what_has_gone_back_is_read_before_anything_is_sent_and_from_the_oldest_wanted_letter_on() -> None:
    raw = Raw()
    topic = [letter(offset=n, timestamp_=WRITTEN - n * 1_000, key=b"x" if n == 3 else b"a") for n in range(4)]
    run(topic, raw, customer="a")
    assert (raw.log, raw.asked) == (["gone", "send 3 committed"], [WRITTEN - 2_000])


def test_the_limit_does_not_hide_an_older_letter() -> None:
    """Which letters a limit lets pass may differ from one reading of the topic to the next."""
    raw = Raw()
    run([letter(offset=0), letter(offset=1, timestamp_=WRITTEN - 60_000)], raw, limit=1)
    assert raw.asked == [WRITTEN - 60_000]


def test_without_letters_nothing_is_asked() -> None:
    raw = Raw()
    assert run([], raw) == ReplayResult(0, 0, {})
    assert run([letter()], raw, customer="nobody") == ReplayResult(0, 0, {})
    assert raw.log == []


def test_a_letter_goes_back_at_most_once_ever() -> None:
    topic, raw = [letter(b"a", 0), letter(b"b", 1), letter(b"c", 2)], Raw()
    assert run(topic, raw, limit=2).replayed == 2
    assert run(topic, raw) == ReplayResult(3, 1, {"already replayed": 2})
    assert run(topic, raw) == ReplayResult(3, 0, {"already replayed": 3})
    assert raw.values() == [b"a", b"b", b"c"]


def test_letters_that_stayed_are_judged_anew() -> None:
    topic, raw = [letter(good(customerID="a"), 0), letter(good(customerID="b"), 1)], Raw()
    assert run(topic, raw, scorer=RuleScorer(refuse("a"))).skipped == {"still failing": 1}
    assert run(topic, raw, scorer=RuleScorer()) == ReplayResult(2, 1, {"already replayed": 1})


@pytest.mark.parametrize(
    ("retries", "max_retries", "goes"), [(0, 3, True), (2, 3, True), (3, 3, False), (4, 3, False), (0, 0, False)]
)
def test_the_guard_ends_a_loop(retries: int, max_retries: int, goes: bool) -> None:
    topic = [letter(headers=[("telco.dlq.retry_count", str(retries).encode())])]
    told = run(topic, Raw(), max_retries=max_retries)
    assert (told.replayed, told.skipped) == ((1, {}) if goes else (0, {"too many retries": 1}))


def test_a_record_that_fails_again_and_again_comes_to_its_end() -> None:
    """Each letter about it shows one retry more, until the guard holds it."""
    topic, counts = [letter(b"hopeless")], []
    for turn in range(6):
        raw = Raw()
        if not run(topic, raw).replayed:
            break
        again = process(raw.records, RuleScorer(), now=NOW, limits=Limits()).letters
        topic = [Fake(body, turn + 1, 0, b"k", headers) for _, body, headers in again]
        counts.append(decode_dead_letter(again[0][1]).retry_count)
    assert counts == [1, 2, 3]


def test_a_cut_letter_stays() -> None:
    topic = [letter(b"x" * 50_000, limit=20_000), letter(b"whole", 1)]
    assert run(topic, Raw()) == ReplayResult(2, 1, {"truncated": 1})


def test_an_original_that_would_not_fit_with_its_new_headers_stays() -> None:
    """It would end the whole replay, each time."""
    raw = Raw()
    assert run([letter(b"x" * 20_000), letter(b"y", 1)], raw, raw_limit=20_000) == ReplayResult(2, 1, {"too large": 1})
    assert raw.values() == [b"y"]


def test_only_what_passes_now_goes_when_it_is_tried_first() -> None:
    raw = Raw()
    topic = [letter(good(customerID="a"), 0), letter(b"hello", 1), letter(None, 2), letter(good(customerID="b"), 3)]
    scorer = RuleScorer(refuse("b"))
    assert run(topic, raw, scorer=scorer) == ReplayResult(4, 1, {"still failing": 3})
    assert raw.values() == [good(customerID="a")]


def test_a_trial_costs_no_call_for_a_letter_that_stays_anyway() -> None:
    scorer = RuleScorer()
    assert run([letter(good(), headers=[("telco.dlq.retry_count", b"9")])], Raw(), scorer=scorer).replayed == 0
    assert scorer.calls == []


def test_a_dry_run_tries_too() -> None:
    told = run([letter(good()), letter(b"hello", 1)], Raw(), scorer=RuleScorer(), execute=False)
    assert told.skipped == {"dry run": 1, "still failing": 1}


@pytest.mark.parametrize("ends", [["aborted"], ["unclear"], ["aborted", "unclear"], ["aborted", "aborted"]])
def test_a_transaction_that_ends_otherwise_is_looked_up_before_anything_is_sent_again(ends: list[str]) -> None:
    raw = Raw(ends=list(ends))
    assert run([letter(b"a", 0), letter(b"b", 1)], raw) == ReplayResult(2, 2, {})
    assert raw.values() == [b"a", b"b"]
    assert raw.log.count("gone") == 1 + len(ends)


def test_many_letters_go_in_several_transactions() -> None:
    raw = Raw()
    assert run([letter(b"x", n) for n in range(2_500)], raw).replayed == 2_500
    assert [entry for entry in raw.log if entry != "gone"] == [
        "send 1000 committed",
        "send 1000 committed",
        "send 500 committed",
    ]


def test_large_letters_go_in_several_transactions_too() -> None:
    raw = Raw()
    assert run([letter(b"x" * 900_000, n) for n in range(40)], raw).replayed == 40
    assert len(raw.log) == 1 + 3


def test_a_stop_lets_the_batch_in_hand_go_and_no_other() -> None:
    raw = Raw(ends=["committed", "last"])
    assert run([letter(b"x", n) for n in range(2_500)], raw) == ReplayResult(2_000, 2_000, {})


def test_letters_of_which_a_stop_leaves_nothing_known_are_called_interrupted() -> None:
    raw = Raw(ends=["committed", "stopped"])
    topic = [letter(b"x", n) for n in range(1_999)] + [letter(headers=[("telco.dlq.retry_count", b"3")], offset=1_999)]
    assert run(topic, raw) == ReplayResult(2_000, 1_000, {"interrupted": 999, "too many retries": 1})


@given(st.lists(st.sampled_from(["committed", "aborted", "unclear", "stopped"]), max_size=8), st.integers(1, 30))
def test_however_runs_end_each_letter_goes_back_once(ends: list[str], letters: int) -> None:
    topic = [letter(str(n).encode(), n) for n in range(letters)]
    raw = Raw(ends=ends)
    while run(topic, raw).skipped.get("already replayed", 0) < letters:
        assert len(raw.records) <= letters
    assert raw.values() == [str(n).encode() for n in range(letters)]


@pytest.mark.parametrize(
    "place", [b"", b"1", b"1/", b"/1", b"a/b", b"1/2/3", b"-1/2", b"1/" + b"9" * 30, b"\xff", None]
)
def test_a_header_that_names_no_place_names_no_letter(place: bytes | None) -> None:
    headers: Any = [("telco.dlq.replay_of", place)]
    assert replay_of(Fake(b"", headers_=headers)) is None
    assert replay_of(Fake(b"", headers_=[*headers, ("telco.dlq.replay_of", b"0/12")])) == (0, 12)
    assert replay_of(Fake(b"")) is None


def run(
    topic: Sequence[Record],
    raw: Raw,
    *,
    execute: bool = True,
    scorer: RuleScorer | None = None,
    max_retries: int = 3,
    raw_limit: int = 1_048_588,
    **wanted: Any,
) -> ReplayResult:
    order = ReplayOrder(Wanted(**wanted), max_retries, raw_limit, Limits())
    doors = ReplayDoors(lambda: topic, raw.gone, raw.send if execute else None, scorer, lambda: NOW, raw.stop)
    return replay(order, doors)
