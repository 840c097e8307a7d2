"""`dlq replay` without Kafka: the raw topic is a list, and what has gone back stands in it."""

import dataclasses
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telco_stream.dlq.letters import LetterFilter
from telco_stream.dlq.replay import RawTopic, ReplayDeps, ReplayOptions, ReplayResult, replay
from telco_stream.messages.dead_letter import ReplayMarker, decode_dead_letter, fingerprint, replay_marker
from telco_stream.messages.record import Outgoing, Record
from telco_stream.messages.source import Position
from telco_stream.runtime.signals import Stop, Stopped
from telco_stream.scoring import Limits, process
from tests.support.letters import NOW, letter
from tests.support.records import FakeRecord, RuleScorer, good, refuse


@dataclass
class Raw:
    """A raw topic in memory. `ends` says how its next transactions end: committed, aborted, or unclear but applied."""

    records: list[FakeRecord] = field(default_factory=list)
    ends: list[str] = field(default_factory=list)
    log: list[str] = field(default_factory=list)
    asked: list[Mapping[int, int] | None] = field(default_factory=list)
    partitions: list[int | None] = field(default_factory=list)
    stop: Stop = field(default_factory=Stop)

    def replayed(self, fingerprints: AbstractSet[bytes], starts: Mapping[int, int] | None) -> set[bytes]:
        self.log.append("read")
        self.asked.append(starts)
        markers = [(record, marker.letter) for record in self.records if (marker := replay_marker(record))]
        found = {fingerprint(at.partition, at.offset, one.key(), one.value()) for one, at in markers}
        return found & fingerprints

    def send(self, messages: Mapping[int | None, Sequence[Outgoing]]) -> bool:
        end = self.ends.pop(0) if self.ends else "committed"
        self.log.append(f"send {sum(map(len, messages.values()))} {end}")
        if end == "stopped":
            raise Stopped
        if end != "aborted":
            for partition, of_partition in messages.items():
                for key, value, headers in of_partition:
                    assert not isinstance(key, str)
                    self.records.append(FakeRecord(value, len(self.records), partition or 0, key, headers))
                    self.partitions.append(partition)
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
        ("telco.dlq.replay_of", b"dead/2/7"),
        ("telco.dlq.replay_of.topic.id", b"dead-id"),
    ]


@pytest.mark.parametrize("value", [None, b"", b"\xff\x00", b"\x01", "Ж🙂".encode(), b"x" * 900_000])
@pytest.mark.parametrize("key", [None, b"", b"\xff"])
def test_key_and_bytes_are_the_original_ones(value: bytes | None, key: bytes | None) -> None:
    raw = Raw()
    run([letter(value, key=key)], raw)
    assert (raw.records[0].key(), raw.values() == [value]) == (key, True)


def test_a_dry_run_sends_nothing_and_tells_what_would_go() -> None:
    raw = Raw([FakeRecord(b"hello", headers_=[("telco.dlq.replay_of", b"0/1")])])
    told = run([letter(offset=n) for n in range(3)], raw, execute=False)
    assert told == ReplayResult(selected=3, replayed=0, skipped={"dry run": 2, "already replayed": 1})
    assert raw.log == ["read"]


def test_replay_reads_behind_the_originals_and_sends_there() -> None:
    """Markers are looked for in the partitions of the originals, from the oldest of them on, and nowhere else."""
    raw = Raw()
    places = [(2, 41), (0, 7), (2, 40), (1, 90)]
    topic = [from_(partition, offset, n) for n, (partition, offset) in enumerate(places)]
    topic.append(from_(0, 3, 4, key=b"another"))
    run(topic, raw, customer="7590-VHVEG")
    assert (raw.log, raw.asked) == (["read", "send 4 committed"], [{2: 41, 0: 8, 1: 91}])
    assert [one.partition() for one in raw.records] == [2, 2, 0, 1]


@pytest.mark.parametrize(
    "source",
    [
        {"topic_id": None},
        {"topic_id": "raw-id-of-an-earlier-topic"},
        {"source_topic": "another"},
        {"source_partition": 3},
        {"source": b"raw/0"},
        {"source": None},
    ],
)
def test_replay_reads_the_whole_topic_when_an_original_is_unknown(source: dict[str, Any]) -> None:
    raw = Raw()
    assert run([from_(0, 7), strange(1, **source)], raw).replayed == 2
    assert (raw.asked, raw.partitions) == ([None], [0, None])


def test_replay_skips_a_letter_when_its_original_is_to_come() -> None:
    """Forged: once the topic has grown beyond it, a replay of today would be overlooked."""
    raw = Raw()
    topic = [from_(0, 99, 0), from_(0, 100, 1), from_(1, 2**59, 2)]
    assert run(topic, raw) == ReplayResult(3, 1, {"original not found": 2})


@pytest.mark.parametrize("limit", [1, None])
def test_replay_searches_for_all_letters_when_limited(limit: int | None) -> None:
    """Which letters a limit lets pass may differ from one reading of the topic to the next."""
    raw = Raw()
    run([from_(0, 9, 0), from_(0, 4, 1)], raw, limit=limit)
    assert raw.asked == [{0: 5}]


@pytest.mark.parametrize(
    "forged",
    [
        {"value_": b"other"},
        {"value_": None},
        {"value_": b""},
        {"key_": b"other"},
        {"key_": None},
        {"key_": b""},
        {"key_": b"7590-VHVE", "value_": b"Ghello"},
    ],
)
def test_replay_ignores_a_marker_when_key_or_value_differ(forged: dict[str, Any]) -> None:
    marker = [("telco.dlq.replay_of", b"dead/0/0"), ("telco.dlq.replay_of.topic.id", b"dead-id")]
    raw = Raw([FakeRecord(**{"value_": b"hello", "headers_": marker} | forged)])
    assert run([letter(b"hello")], raw) == ReplayResult(1, 1, {})
    assert run([letter(b"hello")], raw) == ReplayResult(1, 0, {"already replayed": 1})


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
        again = process(raw.records, RuleScorer(), now=NOW, limits=Limits()).dead_letter_messages
        topic = [FakeRecord(body, turn + 1, 0, b"k", headers) for _, body, headers in again]
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
    assert raw.log.count("read") == 1 + len(ends)


def test_many_letters_go_in_several_transactions() -> None:
    raw = Raw()
    assert run([letter(b"x", n) for n in range(2_500)], raw).replayed == 2_500
    assert [entry for entry in raw.log if entry != "read"] == [
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
    "text", [b"", b"1", b"1/", b"/1", b"/1/1", b"a/b", b"a/1", b"a/b/1/2", b"-1/2", b"1/" + b"9" * 30, b"\xff", None]
)
def test_replay_marker_is_none_when_it_names_no_position(text: bytes | None) -> None:
    headers: Any = [("telco.dlq.replay_of", text)]
    assert replay_marker(FakeRecord(b"", headers_=headers)) is None
    found = replay_marker(FakeRecord(b"", headers_=[*headers, ("telco.dlq.replay_of", b"0/12")]))
    assert found == ReplayMarker(Position(None, 0, 12), "")
    assert replay_marker(FakeRecord(b"")) is None


@pytest.mark.parametrize(
    ("position", "topic_id", "named"),
    [
        (b"0/12", None, True),
        (b"dead/0/12", None, True),
        (b"dead/0/12", b"now", True),
        (b"dead/0/12", b"earlier", False),
        (b"other/0/12", None, False),
        (b"other/0/12", b"now", False),
        (b"other/0/12", b"\xff", False),
    ],
)
def test_replay_marker_names_a_topic_as_far_as_it_says(position: bytes, topic_id: bytes | None, named: bool) -> None:
    headers = [("telco.dlq.replay_of", position)]
    headers += [] if topic_id is None else [("telco.dlq.replay_of.topic.id", topic_id)]
    marker = replay_marker(FakeRecord(b"", headers_=headers))
    assert marker is not None
    assert (marker.names("dead", "now"), marker.names("dead", None)) == (named, position != b"other/0/12")


def from_(partition: int, offset: int, n: int = 0, **more: Any) -> FakeRecord:
    """Letter `n`, about an original in the raw topic as it is now."""
    return strange(n, source=f"raw/{partition}/{offset}".encode(), **more)


def strange(
    n: int,
    *,
    source: bytes | None = b"",
    source_topic: str = "raw",
    source_partition: int = 0,
    topic_id: str | None = "raw-id",
    **more: Any,
) -> FakeRecord:
    """Letter `n`, whose headers say this of the original."""
    one = letter(str(n).encode(), n, topic_id=topic_id, **more)
    text = f"{source_topic}/{source_partition}/5".encode() if source == b"" else source
    headers = [header for header in one.headers_ or () if header[0] != "source"]
    return dataclasses.replace(one, headers_=headers if text is None else [*headers, ("source", text)])


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
    topic_now = RawTopic("raw", "raw-id", dict.fromkeys(range(3), 100))
    order = ReplayOptions(LetterFilter(**wanted), max_retries, raw_limit, Limits(), topic_now, "dead-id")
    deps = ReplayDeps(lambda: topic, raw.replayed, raw.send if execute else None, scorer, lambda: NOW, raw.stop)
    return replay(order, deps)
