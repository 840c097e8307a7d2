import json
import math
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telco_stream.contract.events import Event, EventCodec
from telco_stream.messages.dead_letter import decode_dead_letter
from telco_stream.messages.record import ENVELOPE, Headers, size_of
from telco_stream.model.features import feature_table
from telco_stream.model.scorer import ScoringError
from telco_stream.scoring import Limits, Outcome, count_consecutive_at_end, count_most_consecutive, process
from tests.support.records import POISON, STRANGE, FakeRecord, RuleScorer, good, refuse
from tests.support.telco import value_of

NOW = "2026-01-02T03:04:05.678Z"


def test_process_answers_each_record_once_in_order() -> None:
    outcome = run([good(customerID="a"), b"bad 1", good(customerID="b"), b"bad 2", good(customerID="c")])
    assert [key for key, _, _ in outcome.prediction_messages] == ["a", "b", "c"]
    assert originals(outcome) == [b"bad 1", b"bad 2"]
    assert [prediction.key for prediction in outcome.predictions] == ["a", "b", "c"]
    assert [record.offset for record in outcome.rejected] == [1, 3]
    assert outcome.consumed == 5


def test_process_writes_the_documented_prediction() -> None:
    record = FakeRecord(good(), offset_=17, partition_=2, key_=b"another", headers_=[("traceparent", b"00-1")])
    key, value, headers = process(
        [record], RuleScorer(lambda _: 0.75), processed_at=NOW, limits=Limits()
    ).prediction_messages[0]
    assert key == "7590-VHVEG"
    assert json.loads(value) == {
        "customerID": "7590-VHVEG",
        "churn_probability": 0.75,
        "prediction": "Yes",
        "event_ts": "2026-01-01T00:00:00Z",
        "processed_ts": NOW,
        "model_version": "rule-1",
        "Contract": "Month-to-month",
        "InternetService": "DSL",
    }
    assert headers == [("traceparent", b"00-1"), ("source", b"raw/2/17")]


@pytest.mark.parametrize("value", [good(), b"bad"])
def test_process_adds_the_topic_id_to_every_answer_when_known(value: bytes) -> None:
    records = [
        FakeRecord(value, 4, 1, headers_=None),
        FakeRecord(value, 9, 0, headers_=[("source.topic.id", b"older"), ("a", b"b")]),
    ]
    outcome = process(records, RuleScorer(), processed_at=NOW, limits=Limits(), topic_id="id-1")
    answers = [headers for _, _, headers in outcome.prediction_messages + outcome.dead_letter_messages]
    own = [[header for header in headers if not header[0].startswith("telco.dlq.")] for headers in answers]
    assert own == [
        [("source", b"raw/1/4"), ("source.topic.id", b"id-1")],
        [("a", b"b"), ("source", b"raw/0/9"), ("source.topic.id", b"id-1")],
    ]


def test_process_drops_replay_headers_from_the_answer() -> None:
    replayed: Headers = [("a", b"b"), ("telco.dlq.retry_count", b"1"), ("telco.dlq.replay_of", b"0/5")]
    outcome = process([FakeRecord(good(), headers_=replayed)], RuleScorer(), processed_at=NOW, limits=Limits())
    assert outcome.prediction_messages[0][2] == [("a", b"b"), ("source", b"raw/0/0")]


@pytest.mark.parametrize(("probability", "prediction"), [(0.0, "No"), (0.4999, "No"), (0.5, "Yes"), (1.0, "Yes")])
def test_process_predicts_churn_when_at_the_threshold(probability: float, prediction: str) -> None:
    assert run([good()], RuleScorer(lambda _: probability)).predictions[0].prediction == prediction


@pytest.mark.parametrize(("value", "error_type"), [case[1:3] for case in POISON], ids=[case[0] for case in POISON])
def test_process_rejects_only_the_invalid_record(value: bytes | None, error_type: str) -> None:
    outcome = run([good(), value, good()])
    assert (len(outcome.prediction_messages), outcome.next_offsets) == (2, {0: 3})
    assert [decode_dead_letter(body).error_type for _, body, _ in outcome.dead_letter_messages] == [error_type]
    assert originals(outcome) == [value]


@pytest.mark.parametrize("value", [value for _, value in STRANGE], ids=[name for name, _ in STRANGE])
def test_process_scores_unusual_but_valid_input(value: bytes) -> None:
    outcome = run([value])
    assert (len(outcome.prediction_messages), outcome.dead_letter_messages) == (1, [])


def test_process_uses_the_customer_id_when_key_is_missing() -> None:
    outcome = process(
        [FakeRecord(good(), key_=None), FakeRecord(b"bad", key_=None, offset_=1)],
        RuleScorer(),
        processed_at=NOW,
        limits=Limits(),
    )
    assert [outcome.prediction_messages[0][0], outcome.dead_letter_messages[0][0]] == ["7590-VHVEG", None]


def test_process_scores_a_batch_in_one_call() -> None:
    scorer = RuleScorer()
    run([good()] * 50, scorer)
    assert scorer.calls == [50]


def test_process_skips_the_scorer_when_no_record_is_valid() -> None:
    scorer = RuleScorer()
    assert run([b"bad"], scorer).consumed == 1
    assert run([], scorer).consumed == 0
    assert scorer.calls == []


@pytest.mark.parametrize("failing", [{0}, {7}, {3}, {0, 7}, {2, 3, 4}, set(range(8))])
def test_process_isolates_records_when_scoring_fails(failing: set[int]) -> None:
    outcome = run([good(customerID=str(number)) for number in range(8)], RuleScorer(refuse(*map(str, failing))))
    assert [record.offset for record in outcome.rejected] == sorted(failing)
    assert {record.error_type for record in outcome.rejected} == {"scoring"}
    assert [key for key, _, _ in outcome.prediction_messages] == [
        str(number) for number in range(8) if number not in failing
    ]


def test_process_names_the_error_of_the_model() -> None:
    """The letter has its class and first line; for the log, quoted values and digits are left out."""

    def fail(customer: Event) -> float:
        tenure, contract = (value_of(customer, name) for name in ("tenure", "Contract"))
        error = ValueError(f"row {tenure}: can't convert '{contract}' to a number\nsecond line")
        raise ScoringError("sklearn: ValueError", error)

    outcome = run([good(tenure=7), good(tenure=8), b"hello"], RuleScorer(fail))
    assert [decode_dead_letter(body).error_message for _, body, _ in outcome.dead_letter_messages][:2] == [
        "The model failed: ValueError: row 7: can't convert 'Month-to-month' to a number",
        "The model failed: ValueError: row 8: can't convert 'Month-to-month' to a number",
    ]
    assert outcome.model_errors == ("ValueError: row …: can't convert …",)
    assert {(record.error_type, record.code) for record in outcome.rejected[:2]} == {("scoring", "no_probability")}


def test_process_cuts_the_error_of_the_model_when_it_is_long() -> None:
    def fail(_: Event) -> float:
        raise ScoringError("sklearn: KeyError", KeyError("x" * 1_000_000))

    (message,) = [
        decode_dead_letter(body).error_message for _, body, _ in run([good()], RuleScorer(fail)).dead_letter_messages
    ]
    assert len(message) < 250
    assert message.startswith("The model failed: KeyError: 'xxx")


def test_process_needs_few_calls_when_one_record_fails() -> None:
    scorer = RuleScorer(refuse("700"))
    run([good(customerID=str(number)) for number in range(1024)], scorer)
    assert len(scorer.calls) == 21


@pytest.mark.parametrize("probability", [math.nan, math.inf, -math.inf, -0.01, 1.01])
def test_process_rejects_when_score_is_not_a_probability(probability: float) -> None:
    outcome = run([good()], RuleScorer(lambda _: probability))
    assert [(record.error_type, record.code) for record in outcome.rejected] == [("scoring", "no_probability")]
    (message,) = [decode_dead_letter(body).error_message for _, body, _ in outcome.dead_letter_messages]
    assert message == "The model has no probability for this customer"


def test_process_rejects_when_prediction_exceeds_the_limit() -> None:
    outcome = run([good(), good(customerID="x" * 600_000), good(customerID="x" * 400_000)])
    assert [(record.offset, record.error_type) for record in outcome.rejected] == [(1, "output_too_large")]
    assert originals(outcome) == [good(customerID="x" * 600_000)]


def test_process_counts_headers_in_the_size_of_a_prediction() -> None:
    record = FakeRecord(good(), headers_=[("baggage", b"x" * 1_050_000)])
    outcome = process([record], RuleScorer(), processed_at=NOW, limits=Limits())
    assert [record.error_type for record in outcome.rejected] == ["output_too_large"]


@given(st.integers(0, 12_000), st.none() | st.integers(0, 8_000), st.integers(4_000, 16_000))
def test_process_never_exceeds_the_prediction_limit(length: int, header: int | None, limit: int) -> None:
    headers = None if header is None else [("h", b"x" * header)]
    record = FakeRecord(good(customerID="x" * (length + 1)), headers_=headers)
    outcome = process([record], RuleScorer(), processed_at=NOW, limits=Limits(limit, 2_097_152))
    assert all(ENVELOPE + size_of(*message) <= limit for message in outcome.prediction_messages)
    assert len(outcome.prediction_messages) + len(outcome.dead_letter_messages) == 1


def test_process_packs_the_features_once_for_all_readers(monkeypatch: pytest.MonkeyPatch) -> None:
    class Reader(RuleScorer):
        def score(self, events: Sequence[Event]) -> list[float]:
            feature_table(self.codec.events, events)
            return super().score(events)

    packed: list[tuple[float, ...]] = []
    codec = RuleScorer(lambda _: 0.5).codec.events
    pack = codec._pack

    def count(*row: float) -> bytes:
        packed.append(row)
        return pack(*row)

    monkeypatch.setattr(codec, "_pack", count)
    outcome = run([good(), b"bad", good(tenure=3)], Reader(lambda _: 0.5))
    table = feature_table(codec, outcome.events)
    assert [tuple(row) for row in table.tolist()] == packed
    assert len(packed) == 2
    assert (feature_table(EventCodec(codec.contract), outcome.events) == table).all()
    partly = run([good(customerID="a"), good(tenure=3)], Reader(refuse("a")))
    assert feature_table(codec, partly.events).shape == (1, 19)


def test_next_offsets_follow_the_last_record_per_partition() -> None:
    positions = [(0, 5), (1, 9), (0, 7), (1, 10), (2, 0)]  # offset 6 is a transaction marker
    records = [FakeRecord(good(), partition_=partition, offset_=offset) for partition, offset in positions]
    assert process(records, RuleScorer(), processed_at=NOW, limits=Limits()).next_offsets == {0: 8, 1: 11, 2: 1}


def test_process_raises_when_the_scorer_omits_a_customer() -> None:
    class IncompleteScorer(RuleScorer):
        def score(self, customers: Sequence[Event]) -> list[float]:
            return super().score(customers)[1:]

    with pytest.raises(ValueError, match="shorter"):
        run([good()] * 3, IncompleteScorer())


@given(st.lists(st.booleans(), max_size=12), st.integers(0, 5))
def test_dead_letter_runs_continue_across_batches(bad: list[bool], before: int) -> None:
    indices = [index for index, is_bad in enumerate(bad) if is_bad]
    longest, trailing = 0, before
    for is_bad in bad:
        trailing = trailing + 1 if is_bad else 0
        longest = max(longest, trailing)
    assert count_most_consecutive(indices, before) == longest
    assert count_consecutive_at_end(indices, len(bad), before) == trailing


@given(st.lists(st.booleans(), max_size=30), st.data())
def test_dead_letter_runs_are_independent_of_batch_bounds(bad: list[bool], data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(bad)))
    values = [b"bad" if is_bad else good() for is_bad in bad]
    whole, first = run(values), run(values[:cut])
    second = run(values[cut:], consecutive_before=first.consecutive_dead_letters)
    assert second.consecutive_dead_letters == whole.consecutive_dead_letters
    assert (
        max(first.most_consecutive_dead_letters, second.most_consecutive_dead_letters)
        == whole.most_consecutive_dead_letters
    )


def test_longest_run_is_0_when_batch_has_no_dead_letter() -> None:
    """An earlier batch with a higher limit must not fail this one; another dead letter does."""
    outcome = run([good()], consecutive_before=900)
    assert (outcome.most_consecutive_dead_letters, outcome.consecutive_dead_letters) == (0, 0)
    assert run([b"bad"], consecutive_before=900).most_consecutive_dead_letters == 901


def run(values: Sequence[bytes | None], scorer: RuleScorer | None = None, **options: Any) -> Outcome:
    records = [FakeRecord(value, offset_=offset) for offset, value in enumerate(values)]
    return process(records, scorer or RuleScorer(), processed_at=NOW, limits=Limits(), **options)


def originals(outcome: Outcome) -> list[bytes | None]:
    return [decode_dead_letter(body).original for _, body, _ in outcome.dead_letter_messages]
