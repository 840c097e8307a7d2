"""`dlq replay` without Kafka: the raw topic is a list that replayed records are appended to."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telco_stream.dlq.letters import LetterFilter
from telco_stream.dlq.replay import ReplayDeps, ReplayOptions, ReplayResult, replay
from telco_stream.dlq.states import Search, SourceTopic
from telco_stream.messages.dead_letter import ReplayMarker, decode_dead_letter, letter_fingerprint, replay_marker
from telco_stream.messages.headers import Position
from telco_stream.messages.record import Outgoing, Record
from telco_stream.runtime.signals import Stop, Stopped
from telco_stream.scoring import Limits, Outcome, process
from tests.support.letters import NOW, letter
from tests.support.records import FakeRecord, RuleScorer, good, refuse


@dataclass
class FakeRawTopic:
    """Raw topic in memory; `ends` are the ends of its next transactions: committed, aborted, or unclear but applied."""

    records: list[FakeRecord] = field(default_factory=list)
    ends: list[str] = field(default_factory=list)
    log: list[str] = field(default_factory=list)
    searched_from: list[Mapping[int, int] | None] = field(default_factory=list)
    partitions: list[int | None] = field(default_factory=list)
    stop: Stop = field(default_factory=Stop)

    def find_replayed(self, search: Search) -> set[bytes]:
        self.log.append("read")
        self.searched_from.append(search.starts)
        markers = [(record, marker.letter) for record in self.records if (marker := replay_marker(record))]
        replayed = {
            letter_fingerprint(position.partition, position.offset, record.key(), record.value())
            for record, position in markers
        }
        return replayed & search.retry_counts.keys()

    def send(self, messages: Mapping[tuple[str, int | None], Sequence[Outgoing]]) -> bool:
        end = self.ends.pop(0) if self.ends else "committed"
        self.log.append(f"send {sum(map(len, messages.values()))} {end}")
        if end == "stopped":
            raise Stopped
        if end != "aborted":
            for (topic, partition), of_partition in messages.items():
                assert topic == "raw"
                for key, value, headers in of_partition:
                    assert not isinstance(key, str)
                    self.records.append(FakeRecord(value, len(self.records), partition or 0, key, headers))
                    self.partitions.append(partition)
        if end == "last":
            self.stop.request()
        return end in {"committed", "last"}

    def values(self) -> list[bytes | None]:
        return [record.value() for record in self.records]


def test_replay_sends_the_original_with_a_marker() -> None:
    raw = FakeRawTopic()
    result = run([letter(b"hello", 7, partition=2, key=b"k", headers=[("traceparent", b"00-1")])], raw)
    assert result == ReplayResult(selected=1, replayed=1, skipped={})
    assert (raw.records[0].key(), raw.records[0].value()) == (b"k", b"hello")
    assert raw.records[0].headers() == [
        ("traceparent", b"00-1"),
        ("telco.dlq.retry_count", b"1"),
        ("telco.dlq.replay_of", b"dead/2/7"),
        ("telco.dlq.replay_of.topic.id", b"dead-id"),
    ]


@pytest.mark.parametrize("value", [None, b"", b"\xff\x00", b"\x01", "Ж🙂".encode(), b"x" * 900_000])
@pytest.mark.parametrize("key", [None, b"", b"\xff"])
def test_replay_sends_the_original_key_and_bytes(value: bytes | None, key: bytes | None) -> None:
    raw = FakeRawTopic()
    run([letter(value, key=key)], raw)
    assert (raw.records[0].key(), raw.values() == [value]) == (key, True)


def test_replay_sends_nothing_when_it_is_a_dry_run() -> None:
    raw = FakeRawTopic([FakeRecord(b"hello", headers_=[("telco.dlq.replay_of", b"0/1")])])
    result = run([letter(offset=n) for n in range(3)], raw, execute=False)
    assert result == ReplayResult(3, 0, {"dry run": 2, "already replayed": 1}, dry_run=True)
    assert result.would_replay == 2
    assert raw.log == ["read"]


def test_replay_reads_behind_the_originals_and_sends_there() -> None:
    """Markers are searched only in the partitions of the originals, behind the oldest original."""
    raw = FakeRawTopic()
    originals = [(2, 41), (0, 7), (2, 40), (1, 90)]
    topic = [letter_about(partition, offset, n) for n, (partition, offset) in enumerate(originals)]
    topic.append(letter_about(0, 3, 4, key=b"another"))
    run(topic, raw, customer="7590-VHVEG")
    assert (raw.log, raw.searched_from) == (["read", "send 4 committed"], [{2: 41, 0: 8, 1: 91}])
    assert [record.partition() for record in raw.records] == [2, 2, 0, 1]


@pytest.mark.parametrize(
    "source",
    [
        {"topic_id": None},
        {"topic_id": "raw-id-of-an-earlier-topic"},
        {"source_partition": 3},
        {"source": b"raw/0"},
        {"source": None},
    ],
)
def test_replay_reads_all_when_an_original_is_unknown(source: dict[str, Any]) -> None:
    raw = FakeRawTopic()
    assert run([letter_about(0, 7), letter_with_source(1, **source)], raw).replayed == 2
    assert (raw.searched_from, raw.partitions) == ([None], [0, None])


def test_replay_sends_a_letter_of_another_topic_only_when_it_is_named() -> None:
    """The dead-letter topic can hold letters of another pipeline, or of the raw topic's earlier name."""
    raw = FakeRawTopic()
    topic = [letter_about(0, 7), letter_with_source(1, source_topic="another"), letter_with_source(2, source=None)]
    assert run(topic, raw) == ReplayResult(3, 2, {"another topic": 1})
    assert run(topic, raw, source_topic="another") == ReplayResult(1, 1, {})
    assert raw.searched_from == [None, None]


def test_replay_skips_a_letter_when_its_original_is_to_come() -> None:
    """The source is forged: a replay sent now would be missed once the topic has grown beyond that offset."""
    raw = FakeRawTopic()
    topic = [letter_about(0, 99, 0), letter_about(0, 100, 1), letter_about(1, 2**59, 2)]
    assert run(topic, raw) == ReplayResult(3, 1, {"original not found": 2})


@pytest.mark.parametrize("limit", [1, None])
def test_replay_searches_for_all_letters_when_limited(limit: int | None) -> None:
    """The letters within a limit can change between two reads of the topic."""
    raw = FakeRawTopic()
    run([letter_about(0, 9, 0), letter_about(0, 4, 1)], raw, limit=limit)
    assert raw.searched_from == [{0: 5}]


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
    raw = FakeRawTopic([FakeRecord(**{"value_": b"hello", "headers_": marker} | forged)])
    assert run([letter(b"hello")], raw) == ReplayResult(1, 1, {})
    assert run([letter(b"hello")], raw) == ReplayResult(1, 0, {"already replayed": 1})


def test_replay_reads_nothing_when_no_letter_matches() -> None:
    raw = FakeRawTopic()
    assert run([], raw) == ReplayResult(0, 0, {})
    assert run([letter()], raw, customer="nobody") == ReplayResult(0, 0, {})
    assert raw.log == []


def test_replay_sends_a_letter_at_most_once() -> None:
    topic, raw = [letter(b"a", 0), letter(b"b", 1), letter(b"c", 2)], FakeRawTopic()
    assert run(topic, raw, limit=2).replayed == 2
    assert run(topic, raw) == ReplayResult(3, 1, {"already replayed": 2})
    assert run(topic, raw) == ReplayResult(3, 0, {"already replayed": 3})
    assert raw.values() == [b"a", b"b", b"c"]


def test_replay_scores_skipped_letters_again() -> None:
    topic, raw = [letter(good(customerID="a"), 0), letter(good(customerID="b"), 1)], FakeRawTopic()
    assert run(topic, raw, scorer=RuleScorer(refuse("a"))).skipped == {"still failing": 1}
    assert run(topic, raw, scorer=RuleScorer()) == ReplayResult(2, 1, {"already replayed": 1})


@pytest.mark.parametrize(
    ("retries", "max_retries", "goes"), [(0, 3, True), (2, 3, True), (3, 3, False), (4, 3, False), (0, 0, False)]
)
def test_replay_skips_a_letter_when_retries_reach_the_limit(retries: int, max_retries: int, goes: bool) -> None:
    topic = [letter(headers=[("telco.dlq.retry_count", str(retries).encode())])]
    result = run(topic, FakeRawTopic(), max_retries=max_retries)
    assert (result.replayed, result.skipped) == ((1, {}) if goes else (0, {"too many retries": 1}))


def test_replay_ends_when_a_record_fails_each_time() -> None:
    """Each letter about it has a higher retry count, until the limit is reached."""
    topic, counts = [letter(b"hopeless")], []
    for turn in range(6):
        raw = FakeRawTopic()
        if not run(topic, raw).replayed:
            break
        again = process(raw.records, RuleScorer(), processed_at=NOW, limits=Limits()).dead_letter_messages
        topic = [FakeRecord(body, turn + 1, 0, b"k", headers) for _, body, headers in again]
        counts.append(decode_dead_letter(again[0][1]).retry_count)
    assert counts == [1, 2, 3]


def test_replay_skips_a_letter_when_it_is_truncated() -> None:
    topic = [letter(b"x" * 50_000, limit=20_000), letter(b"whole", 1)]
    assert run(topic, FakeRawTopic()) == ReplayResult(2, 1, {"truncated": 1})


def test_replay_skips_a_letter_when_new_headers_exceed_the_limit() -> None:
    """Sending it would fail the whole replay each time."""
    raw = FakeRawTopic()
    assert run([letter(b"x" * 20_000), letter(b"y", 1)], raw, raw_limit=20_000) == ReplayResult(2, 1, {"too large": 1})
    assert raw.values() == [b"y"]


def test_replay_skips_a_letter_when_it_still_fails() -> None:
    raw = FakeRawTopic()
    topic = [letter(good(customerID="a"), 0), letter(b"hello", 1), letter(None, 2), letter(good(customerID="b"), 3)]
    scorer = RuleScorer(refuse("b"))
    assert run(topic, raw, scorer=scorer) == ReplayResult(4, 1, {"still failing": 3})
    assert raw.values() == [good(customerID="a")]


def test_replay_does_not_score_a_letter_when_it_is_skipped() -> None:
    scorer = RuleScorer()
    assert run([letter(good(), headers=[("telco.dlq.retry_count", b"9")])], FakeRawTopic(), scorer=scorer).replayed == 0
    assert scorer.calls == []


def test_replay_scores_letters_when_it_is_a_dry_run() -> None:
    result = run([letter(good()), letter(b"hello", 1)], FakeRawTopic(), scorer=RuleScorer(), execute=False)
    assert result.skipped == {"dry run": 1, "still failing": 1}


@pytest.mark.parametrize("ends", [["aborted"], ["unclear"], ["aborted", "unclear"], ["aborted", "aborted"]])
def test_replay_reads_markers_when_a_commit_is_uncertain(ends: list[str]) -> None:
    raw = FakeRawTopic(ends=list(ends))
    assert run([letter(b"a", 0), letter(b"b", 1)], raw) == ReplayResult(2, 2, {})
    assert raw.values() == [b"a", b"b"]
    assert raw.log.count("read") == 1 + len(ends)


def test_replay_splits_transactions_when_letters_are_many() -> None:
    raw = FakeRawTopic()
    assert run([letter(b"x", n) for n in range(2_500)], raw).replayed == 2_500
    assert [entry for entry in raw.log if entry != "read"] == [
        "send 1000 committed",
        "send 1000 committed",
        "send 500 committed",
    ]


def test_replay_splits_transactions_when_letters_are_large() -> None:
    raw = FakeRawTopic()
    assert run([letter(b"x" * 900_000, n) for n in range(40)], raw).replayed == 40
    assert len(raw.log) == 1 + 3


def test_replay_finishes_the_transaction_when_stopped() -> None:
    raw = FakeRawTopic(ends=["committed", "last"])
    assert run([letter(b"x", n) for n in range(2_500)], raw) == ReplayResult(2_000, 2_000, {})


def test_replay_counts_letters_as_interrupted_when_unknown() -> None:
    raw = FakeRawTopic(ends=["committed", "stopped"])
    topic = [letter(b"x", n) for n in range(1_999)] + [letter(headers=[("telco.dlq.retry_count", b"3")], offset=1_999)]
    assert run(topic, raw) == ReplayResult(2_000, 1_000, {"interrupted": 999, "too many retries": 1})


@given(st.lists(st.sampled_from(["committed", "aborted", "unclear", "stopped"]), max_size=8), st.integers(1, 30))
def test_replay_sends_each_letter_once_however_runs_end(ends: list[str], letters: int) -> None:
    topic = [letter(str(n).encode(), n) for n in range(letters)]
    raw = FakeRawTopic(ends=ends)
    while run(topic, raw).skipped.get("already replayed", 0) < letters:
        assert len(raw.records) <= letters
    assert raw.values() == [str(n).encode() for n in range(letters)]


@pytest.mark.parametrize(
    "text", [b"", b"1", b"1/", b"/1", b"/1/1", b"a/b", b"a/1", b"a/b/1/2", b"-1/2", b"1/" + b"9" * 30, b"\xff", None]
)
def test_replay_marker_is_none_when_it_names_no_position(text: bytes | None) -> None:
    headers: Any = [("telco.dlq.replay_of", text)]
    assert replay_marker(FakeRecord(b"", headers_=headers)) is None
    marker = replay_marker(FakeRecord(b"", headers_=[*headers, ("telco.dlq.replay_of", b"0/12")]))
    assert marker == ReplayMarker(Position(None, 0, 12), "")
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
def test_replay_marker_names_the_topic_that_it_contains(position: bytes, topic_id: bytes | None, named: bool) -> None:
    headers = [("telco.dlq.replay_of", position)]
    headers += [] if topic_id is None else [("telco.dlq.replay_of.topic.id", topic_id)]
    marker = replay_marker(FakeRecord(b"", headers_=headers))
    assert marker is not None
    assert (marker.matches_topic("dead", "now"), marker.matches_topic("dead", None)) == (
        named,
        position != b"other/0/12",
    )


def letter_about(partition: int, offset: int, n: int = 0, **more: Any) -> FakeRecord:
    """Return letter `n` about an original in the current raw topic."""
    return letter_with_source(n, source=f"raw/{partition}/{offset}".encode(), **more)


def letter_with_source(
    n: int,
    *,
    source: bytes | None = b"",
    source_topic: str = "raw",
    source_partition: int = 0,
    topic_id: str | None = "raw-id",
    **more: Any,
) -> FakeRecord:
    """Return letter `n` with these values in its source headers."""
    record = letter(str(n).encode(), n, topic_id=topic_id, **more)
    text = f"{source_topic}/{source_partition}/5".encode() if source == b"" else source
    headers = [header for header in record.headers_ or () if header[0] != "source"]
    return dataclasses.replace(record, headers_=headers if text is None else [*headers, ("source", text)])


def run(
    topic: Sequence[Record],
    raw: FakeRawTopic,
    *,
    execute: bool = True,
    scorer: RuleScorer | None = None,
    max_retries: int = 3,
    raw_limit: int = 1_048_588,
    **criteria: Any,
) -> ReplayResult:
    raw_topic = SourceTopic("raw", "raw-id", dict.fromkeys(range(3), 100))
    deps = ReplayDeps(
        records=lambda: topic,
        topic_of=lambda _: raw_topic,
        limit_of=lambda _: raw_limit,
        find_replayed=raw.find_replayed,
        send=raw.send if execute else None,
        answer=None if scorer is None else lambda _, records: answer(records, scorer),
        stop=raw.stop,
    )
    return replay(ReplayOptions(LetterFilter(**criteria), max_retries, "dead-id"), deps)


def answer(records: Sequence[Record], scorer: RuleScorer) -> Outcome:
    return process(records, scorer, processed_at=NOW, limits=Limits())
