"""The business on one page: a batch of records becomes predictions, dead letters and the offsets to commit.

`process` is pure: it uses no Kafka client, no clock and no file. It takes four steps:

1. Decode each record to an event, or reject the record.
2. Score all events in one call.
3. Build a prediction from each probability, or reject the record if the prediction cannot be sent.
4. Write a dead letter for each rejected record.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from telco_stream.contract.events import BAD_DATA, Event, EventCodec
from telco_stream.errors import ErrorType
from telco_stream.messages.dead_letter import encode_dead_letter, forwarded_headers
from telco_stream.messages.headers import SourceHeaders
from telco_stream.messages.prediction import Prediction, encode_prediction
from telco_stream.messages.record import ENVELOPE, Message, Record, Rejected, Rejection, size_of
from telco_stream.model.scorer import Scorer, ScoringError


@dataclass(frozen=True, slots=True)
class Outcome:
    """Result of one batch: the messages to send, and the offset at which each partition of the raw topic continues."""

    prediction_messages: list[Message]
    dead_letter_messages: list[Message]
    predictions: list[Prediction]
    rejected: list[Rejection]
    next_offsets: dict[int, int]
    #: Value of `prediction` that flags an event.
    positive: str
    #: Length of the longest run of dead letters, and of the run at the end of the batch.
    most_consecutive_dead_letters: int
    consecutive_dead_letters: int
    #: Different errors of the model in this batch, without values of customers.
    model_errors: tuple[str, ...] = ()

    @property
    def consumed(self) -> int:
        """Records answered by a prediction or a dead letter."""
        return len(self.prediction_messages) + len(self.dead_letter_messages)

    @property
    def flagged(self) -> int:
        """Predictions of the positive label."""
        positive = self.positive
        return sum([prediction.prediction == positive for prediction in self.predictions])


@dataclass(frozen=True, slots=True)
class Limits:
    """Largest size of one message of each topic, in bytes as Kafka counts them."""

    prediction: int = 1_048_588
    letter: int = 2_097_152


def process(  # noqa: PLR0913 - a pure function takes all that its result depends on
    records: Sequence[Record],
    scorer: Scorer,
    *,
    processed_at: str,
    limits: Limits,
    topic_id: str | None = None,
    consecutive_before: int = 0,
) -> Outcome:
    """Answer each record exactly once, by a prediction or by a dead letter.

    All records are from one topic, whose ID is `topic_id`. `processed_at` is the time of processing (RFC 3339), and
    `consecutive_before` is the number of consecutive dead letters directly before this batch.
    """
    sources, codec = SourceHeaders(topic_id), scorer.codec
    decoded, undecodable = _decode(records, codec.events)
    failures: dict[int, ScoringError] = {}
    probabilities = _score(decoded, scorer, failures)
    scored = codec.build_predictions(
        [event for _, event in decoded],
        probabilities,
        threshold=scorer.threshold,
        processed_at=processed_at,
        model_version=scorer.version,
    )
    predictions, prediction_messages, unanswerable = _encode(
        records, zip(decoded, scored, strict=True), sources, limits.prediction, codec.contract.entity
    )
    rejected_at = undecodable | unanswerable | _name_errors(failures, unanswerable)
    rejected = [rejected_at[index] for index in sorted(rejected_at)]
    last_records = {record.partition(): record for record in records}
    return Outcome(
        prediction_messages=prediction_messages,
        dead_letter_messages=[
            encode_dead_letter(
                record, sources, model_version=scorer.version, failed_at=processed_at, limit=limits.letter
            )
            for record in rejected
        ],
        predictions=predictions,
        rejected=[record.rejection for record in rejected],
        next_offsets={partition: record.offset() + 1 for partition, record in last_records.items()},
        positive=codec.contract.label.positive,
        most_consecutive_dead_letters=count_most_consecutive(rejected_at, consecutive_before),
        consecutive_dead_letters=count_consecutive_at_end(rejected_at, len(records), consecutive_before),
        model_errors=tuple(sorted({error.cause for error in failures.values()})),
    )


def count_most_consecutive(rejected: Iterable[int], before: int) -> int:
    """Return the length of the longest run of dead letters that includes one of this batch, 0 if it has none.

    `rejected` holds indices in the batch; `before` dead letters directly precede index 0.
    """
    longest, run, next_index = 0, before, 0
    for index in sorted(rejected):
        run = run + 1 if index == next_index else 1
        next_index = index + 1
        longest = max(longest, run)
    return longest


def count_consecutive_at_end(rejected: Iterable[int], size: int, before: int) -> int:
    """Return the number of consecutive dead letters at the end of a batch of `size` records.

    If the whole batch was rejected, the run includes the `before` dead letters that precede it.
    """
    indices, run = set(rejected), 0
    while run < size and size - 1 - run in indices:
        run += 1
    return run + before if run == size else run


def _decode(records: Sequence[Record], codec: EventCodec) -> tuple[list[tuple[int, Event]], dict[int, Rejected]]:
    """Return the events with their indices in the batch, and the records that hold no valid event by index."""
    decoded: list[tuple[int, Event]] = []
    rejected: dict[int, Rejected] = {}
    decode = codec.decode
    for index, record in enumerate(records):
        try:
            decoded.append((index, decode(record.value())))
        except BAD_DATA as error:
            rejected[index] = Rejected(record, *codec.explain(record.value(), error))
    return decoded, rejected


def _score(decoded: Sequence[tuple[int, Event]], scorer: Scorer, failures: dict[int, ScoringError]) -> list[float]:
    """Return a probability for each event, NaN if the model fails on it; add its errors to `failures` by index.

    One call scores all of them. If it fails, both halves are scored separately until each failing event is alone.
    """
    if not decoded:
        return []
    try:
        return scorer.score([event for _, event in decoded])
    except ScoringError as error:
        if len(decoded) == 1:
            failures[decoded[0][0]] = error
            return [math.nan]
        half = len(decoded) // 2
        return _score(decoded[:half], scorer, failures) + _score(decoded[half:], scorer, failures)


def _name_errors(failures: Mapping[int, ScoringError], rejected: Mapping[int, Rejected]) -> dict[int, Rejected]:
    """Return the records on which the model has failed, with its error."""
    return {
        index: replace(rejected[index], message=f"The model failed: {error.reason}")
        for index, error in failures.items()
    }


def _encode(
    records: Sequence[Record],
    scored: Iterable[tuple[tuple[int, Event], Prediction]],
    sources: SourceHeaders,
    limit: int,
    entity: str,
) -> tuple[list[Prediction], list[Message], dict[int, Rejected]]:
    """Return the predictions, their messages, and the records whose prediction cannot be sent by index.

    `limit` is the largest message in bytes, `entity` whom a record is about.
    """
    predictions: list[Prediction] = []
    messages: list[Message] = []
    rejected: dict[int, Rejected] = {}
    # The key is at most as long as the value, which contains it. So a message with source headers only is small if its
    # value is, and its size need not be counted.
    source_headers, source_header_count, small_value = sources.of, sources.count, limit // 4
    for (index, _), prediction in scored:
        record = records[index]
        headers = source_headers(record)
        if record.headers() is not None:
            headers = [*forwarded_headers(record), *headers]
        message = (prediction.key, encode_prediction(prediction), headers)
        is_small = len(headers) == source_header_count and len(message[1]) <= small_value
        if not (is_small and 0.0 <= prediction.probability <= 1.0) and (
            reason := _reason_to_reject(prediction.probability, message, limit, entity)
        ):
            rejected[index] = Rejected(record, *reason)
        else:
            predictions.append(prediction)
            messages.append(message)
    return predictions, messages, rejected


def _reason_to_reject(
    probability: float, message: Message, limit: int, entity: str
) -> tuple[ErrorType, str, str] | None:
    """Return type, code and text of the error, or None if the prediction can be sent."""
    if not 0.0 <= probability <= 1.0:  # also true for NaN
        return ErrorType.SCORING, "no_probability", f"The model has no probability for this {entity}"
    if ENVELOPE + size_of(*message) > limit:
        text = f"The prediction would exceed the topic's {limit} bytes"
        return ErrorType.OUTPUT_TOO_LARGE, "too_large", text
    return None
