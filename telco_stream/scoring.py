"""The whole business on one page: records in, what to send and commit out. Pure: no client, no clock, no file."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from telco_stream.contract.customer import BAD_DATA, Customer, decode_customer, explain
from telco_stream.contract.error_type import ErrorType
from telco_stream.messages.dead_letter import encode_dead_letter, forwarded_headers
from telco_stream.messages.prediction import Prediction, encode_prediction
from telco_stream.messages.record import ENVELOPE, Message, Record, Rejected, Rejection, size_of
from telco_stream.messages.source import SourceHeaders
from telco_stream.model.scorer import Scorer, ScoringError


@dataclass(frozen=True, slots=True)
class Outcome:
    """All that one batch leads to: what to send, and where each partition of the raw topic continues."""

    prediction_messages: list[Message]
    dead_letter_messages: list[Message]
    predictions: list[Prediction]
    rejected: list[Rejection]
    next_offsets: dict[int, int]
    longest_dead_letter_run: int
    trailing_dead_letter_run: int

    @property
    def consumed(self) -> int:
        """Records answered, either way."""
        return len(self.prediction_messages) + len(self.dead_letter_messages)


@dataclass(frozen=True, slots=True)
class Limits:
    """Bytes that one record may have, as Kafka counts them."""

    prediction: int = 1_048_588
    letter: int = 2_097_152


def process(  # noqa: PLR0913 - a pure function takes all that its result depends on
    records: Sequence[Record],
    scorer: Scorer,
    *,
    now: str,
    limits: Limits,
    topic_id: str | None = None,
    consecutive_before: int = 0,
) -> Outcome:
    """Every record answered once: by a prediction, or by a dead letter that says why there is none.

    The records are of one topic, whose ID is `topic_id`. `now` is the time of processing (RFC 3339) and
    `dead_letters_before` how many in a row preceded this batch.
    """
    sources = SourceHeaders(topic_id)
    good, undecodable = _decode(records)
    probabilities = _score([customer for _, customer in good], scorer)
    stamp = _BatchMetadata(scorer.version, scorer.threshold, now, limits.prediction, sources)
    predictions, messages, unanswerable = _answer(records, good, probabilities, stamp)
    rejected = undecodable | unanswerable
    bad = [rejected[position] for position in sorted(rejected)]
    newest = {record.partition(): record for record in records}
    return Outcome(
        prediction_messages=messages,
        dead_letter_messages=[
            encode_dead_letter(one, sources, model_version=scorer.version, failed_at=now, limit=limits.letter)
            for one in bad
        ],
        predictions=predictions,
        rejected=[one.rejection for one in bad],
        next_offsets={partition: last.offset() + 1 for partition, last in newest.items()},
        longest_dead_letter_run=longest_dead_letter_run(rejected, consecutive_before),
        trailing_dead_letter_run=trailing_dead_letter_run(rejected, len(records), consecutive_before),
    )


def longest_dead_letter_run(rejected: Iterable[int], before: int) -> int:
    """The most dead letters in a row that this batch adds to or makes; `before` ended the one before it.

    Positions count from 0. A batch without any makes none, however many came before.
    """
    longest, run, expected = 0, before, 0
    for position in sorted(rejected):
        run = run + 1 if position == expected else 1
        expected = position + 1
        longest = max(longest, run)
    return longest


def trailing_dead_letter_run(rejected: Iterable[int], size: int, before: int) -> int:
    """Dead letters in a row at the end of a batch of `size` records, with those before it if there was nothing else."""
    bad, run = set(rejected), 0
    while run < size and size - 1 - run in bad:
        run += 1
    return run + before if run == size else run


def _decode(records: Sequence[Record]) -> tuple[list[tuple[int, Customer]], dict[int, Rejected]]:
    """The good customers and the bad records, each with its position in the batch."""
    good: list[tuple[int, Customer]] = []
    bad: dict[int, Rejected] = {}
    for position, record in enumerate(records):
        try:
            good.append((position, decode_customer(record.value())))
        except BAD_DATA as error:
            bad[position] = Rejected(record, *explain(record.value(), error))
    return good, bad


def _score(customers: Sequence[Customer], scorer: Scorer) -> list[float]:
    """A probability each, from one call; NaN where the model has none."""
    if not customers:
        return []
    try:
        probabilities = scorer.score(customers)
    except ScoringError:
        if len(customers) == 1:
            return [math.nan]
        half = len(customers) // 2
        return _score(customers[:half], scorer) + _score(customers[half:], scorer)
    return probabilities


@dataclass(frozen=True, slots=True)
class _BatchMetadata:
    """What all answers of a batch share."""

    version: str
    threshold: float
    now: str
    limit: int
    sources: SourceHeaders


def _answer(
    records: Sequence[Record], good: list[tuple[int, Customer]], probabilities: list[float], stamp: _BatchMetadata
) -> tuple[list[Prediction], list[Message], dict[int, Rejected]]:
    """The predictions, the same as messages, and the records that can't be answered, by position."""
    predictions: list[Prediction] = []
    messages: list[Message] = []
    bad: dict[int, Rejected] = {}
    threshold, now, version, source_headers = stamp.threshold, stamp.now, stamp.version, stamp.sources.of
    # Its key stands in its value too, so without the input's headers a small value makes a small record.
    own, small = stamp.sources.count, stamp.limit // 4
    for (position, customer), probability in zip(good, probabilities, strict=True):
        record = records[position]
        prediction = Prediction(
            customer.customerID,
            probability,
            "Yes" if probability >= threshold else "No",
            customer.event_ts,
            now,
            version,
            customer.Contract,
            customer.InternetService,
        )
        headers = (
            source_headers(record)
            if record.headers() is None
            else [*forwarded_headers(record), *source_headers(record)]
        )
        message = (customer.customerID, encode_prediction(prediction), headers)
        is_small = len(headers) == own and len(message[1]) <= small
        if not (is_small and 0.0 <= probability <= 1.0) and (
            reason := _unanswerable(probability, message, stamp.limit)
        ):
            bad[position] = Rejected(record, *reason)
        else:
            predictions.append(prediction)
            messages.append(message)
    return predictions, messages, bad


def _unanswerable(probability: float, message: Message, limit: int) -> tuple[ErrorType, str, str] | None:
    if not 0.0 <= probability <= 1.0:  # NaN too
        return "scoring", "no_probability", "The model has no probability for this customer"
    if ENVELOPE + size_of(*message) > limit:
        return "output_too_large", "too_large", f"The prediction would exceed the topic's {limit} bytes"
    return None
