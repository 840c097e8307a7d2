"""`process` never raises on generated poison and answers each record with exactly one dead letter."""

import base64
import hashlib

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from telco_stream.messages.dead_letter import DeadLetter, decode_dead_letter
from telco_stream.messages.record import ENVELOPE, size_of
from telco_stream.scoring import Limits, Outcome, process
from tests.support.poison import POISONS, bit_flips
from tests.support.records import FakeRecord, RuleScorer, good

NOW = "2026-01-02T03:04:05.678Z"
LIMITS = Limits()
#: Examples per kind; drawing large ones is slow.
MANY = settings(max_examples=60, suppress_health_check=list(HealthCheck))


@pytest.mark.parametrize("kind", POISONS)
@MANY
@given(st.data())
def test_process_returns_a_letter_with_the_bytes_of_poison(kind: str, data: st.DataObject) -> None:
    """The valid records before and after it are scored."""
    poison = data.draw(POISONS[kind])
    outcome = process_values([good(customerID="before"), poison, good(customerID="after")])
    assert [key for key, _, _ in outcome.prediction_messages] == ["before", "after"]
    (_, body, _), letter = outcome.dead_letter_messages[0], decode_dead_letter(outcome.dead_letter_messages[0][1])
    assert len(outcome.dead_letter_messages) == 1
    assert holds_original(letter, poison), "the letter holds other bytes"
    assert len(body) < LIMITS.letter
    assert 0 < len(letter.error_message) < 600


@MANY
@given(st.lists(bit_flips(), min_size=1, max_size=20))
def test_process_answers_once_when_bits_are_flipped(values: list[bytes]) -> None:
    """Records that stay valid are scored; letters hold the changed bytes."""
    outcome = process_values(list(values))
    assert outcome.consumed == len(values)
    assert outcome.next_offsets == {0: len(values)}
    bad = [values[record.offset] for record in outcome.rejected]
    assert [decode_dead_letter(body).original for _, body, _ in outcome.dead_letter_messages] == bad


@MANY
@given(st.lists(st.one_of(*POISONS.values(), st.just(good())), max_size=30))
def test_process_answers_mixed_records_in_order(values: list[bytes | None]) -> None:
    outcome = process_values(values)
    rejected = [record.offset for record in outcome.rejected]
    assert outcome.consumed == len(values)
    assert rejected == sorted(set(rejected))
    assert len(outcome.dead_letter_messages) == len(rejected)
    assert all(ENVELOPE + size_of(*letter) <= LIMITS.letter for letter in outcome.dead_letter_messages)


def process_values(values: list[bytes | None]) -> Outcome:
    records = [FakeRecord(value, offset_=offset) for offset, value in enumerate(values)]
    return process(records, RuleScorer(), processed_at=NOW, limits=LIMITS)


def holds_original(letter: DeadLetter, value: bytes | None) -> bool:
    """Return whether the letter holds the value or its checksum. A bool keeps large values out of failure messages."""
    if letter.truncated:
        return letter.original_sha256 == hashlib.sha256(value or b"").hexdigest()
    if value is not None and letter.original_encoding:
        return base64.b64decode(letter.original_message or "") == value
    return letter.original_message == (None if value is None else value.decode())
