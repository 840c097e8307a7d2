"""`docs/messages.md` matches the messages that are read and written."""

import re

import pytest

from telco_stream.contract.document import builtin_contract
from telco_stream.contract.events import EventCodec
from telco_stream.contract.outcomes import outcome_contract
from telco_stream.errors import ErrorType
from telco_stream.messages.dead_letter import (
    REPLAY_OF,
    REPLAY_OF_TOPIC_ID,
    RETRY_COUNT,
    DeadLetter,
    decode_dead_letter,
    encode_dead_letter,
)
from telco_stream.messages.headers import DROPPED, SourceHeaders
from telco_stream.messages.record import Rejected
from tests.support.cli import ROOT
from tests.support.records import FakeRecord
from tests.support.telco import CODEC, COLUMNS, decode, explain, value_of

PAGE = (ROOT / "docs/messages.md").read_text()
CUSTOMER, PREDICTION, OUTCOME, LETTER = (
    block.encode() for block in re.findall(r"^```json\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
)

TYPES = PAGE.partition("Values of `error_type`:\n\n")[2].partition("\n\n")[0]


def test_customer_example_is_valid_and_has_every_column() -> None:
    assert value_of(decode(CUSTOMER), "tenure") == 1
    assert re.findall(r'"(\w+)":', CUSTOMER.decode()) == [*COLUMNS, "event_ts"]


def test_prediction_example_is_valid_and_has_every_field() -> None:
    assert CODEC.predictions.decode(PREDICTION).key == decode(CUSTOMER).key
    assert re.findall(r'"(\w+)":', PREDICTION.decode()) == list(CODEC.predictions.names)


def test_outcome_example_is_valid_and_has_every_field() -> None:
    codec = EventCodec(outcome_contract(builtin_contract()))
    (value,) = codec.values(codec.contract.label.name, [codec.decode(OUTCOME)])
    assert value == codec.contract.label.negative
    assert len(re.findall(r'"(\w+)":', OUTCOME.decode())) == 3


def test_letter_example_is_what_its_original_produces() -> None:
    """Error type and message are those of the original in the example."""
    letter = decode_dead_letter(LETTER)
    with pytest.raises(ValueError, match="tenure") as refused:
        decode(letter.original)
    error_type, _, message = explain(letter.original, refused.value)
    assert (letter.error_type, letter.error_message) == (error_type, message)


def test_page_describes_every_error_type_and_letter_field() -> None:
    assert re.findall(r"^- `(\w+)`:", TYPES, re.MULTILINE) == list(ErrorType)
    assert [name for name in DeadLetter.__struct_fields__ if name not in PAGE] == []


def test_page_describes_every_header() -> None:
    rejected = Rejected(FakeRecord(b"x"), ErrorType.JSON, "malformed", "no JSON")
    headers = encode_dead_letter(rejected, SourceHeaders("id"), model_version="v", failed_at="now", limit=100_000)[2]
    written = {name for name, _ in headers} | {RETRY_COUNT, REPLAY_OF, REPLAY_OF_TOPIC_ID, DROPPED}
    assert set(re.findall(r"`(source[\w.]*|telco\.dlq\.[\w.]+)`", PAGE)) == written
