"""The business on one page: a batch of records becomes predictions, dead letters and the offsets to commit.

`process` is pure: it uses no Kafka client, no clock and no file. It takes four steps, and
`check_outcomes` the first and the last of them:

1. Decode each record to an event, or reject the record.
2. Score all events in one call; those of a canary's keys in a second one.
3. Build a prediction from each probability, or reject the record if the prediction cannot be sent.
4. Write a dead letter for each rejected record.
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import compress
from typing import Any

from telco_stream.contract.events import BAD_DATA, Event, EventBatch, EventCodec
from telco_stream.errors import ErrorType
from telco_stream.messages.dead_letter import encode_dead_letter, forwarded_headers
from telco_stream.messages.headers import SourceHeaders
from telco_stream.messages.prediction import CONTROL, Holdout, Prediction, encode_prediction
from telco_stream.messages.record import ENVELOPE, Message, Record, Rejected, Rejection, size_of
from telco_stream.model.reasons.request import ReasonRequest
from telco_stream.model.scorer import Scorer, ScoringError, score_each
from telco_stream.model.serving import CanaryModel, VersionCounts


@dataclass(frozen=True, slots=True)
class Outcome:
    """Result of one batch: the messages to send, and the offset at which each partition of its topic continues."""

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
    #: Counts of each version of the model that has scored records of the batch.
    by_version: Mapping[str, VersionCounts] = field(default_factory=dict)
    #: Events that the model could score, in the order of the batch. Their features are packed already.
    events: Sequence[Event] = ()
    #: Probability of each of them.
    probabilities: Sequence[float] = ()
    #: Comparison with the shadow model, if there is one.
    shadow: "ShadowComparison | None" = None
    #: Valid records that need no answer, as outcomes do.
    accepted: int = 0

    @property
    def consumed(self) -> int:
        """Records of the batch, each of which is answered by a prediction or a dead letter, or accepted."""
        return len(self.prediction_messages) + len(self.dead_letter_messages) + self.accepted

    @property
    def failed(self) -> int:
        """Records on which a model has failed, or for which it has no probability."""
        return sum(counts.failed for counts in self.by_version.values())

    @property
    def flagged(self) -> int:
        """Predictions of the positive label."""
        positive = self.positive
        return sum([prediction.prediction == positive for prediction in self.predictions])


@dataclass(frozen=True, slots=True)
class ShadowComparison:
    """Probabilities of a shadow model beside the answers of a batch."""

    version: str
    compared: int
    #: Records on which the shadow model failed, or has no probability.
    failed: int
    changed_decisions: int
    #: Absolute differences of the probabilities.
    differences: Sequence[float]
    seconds: float = 0.0


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
    canary: CanaryModel | None = None,
    holdout: Holdout | None = None,
    reasons: ReasonRequest | None = None,
) -> Outcome:
    """Answer each record exactly once, by a prediction or by a dead letter.

    All records are from one topic, whose ID is `topic_id`. `processed_at` is the time of processing (RFC 3339), and
    `consecutive_before` is the number of consecutive dead letters directly before this batch. The predictions of
    keys in the `holdout` are marked, and `reasons` adds the reasons of each, or of flagged ones.
    """
    sources, codec = SourceHeaders(topic_id), scorer.codec
    indices, events, undecodable = decode_events(records, codec.events)
    failures: dict[int, ScoringError] = {}
    options = _PredictionOptions(processed_at, holdout, reasons)
    scored, probabilities = _predict(indices, events, scorer, canary, options, failures)
    predictions, prediction_messages, unanswerable = _encode(
        records, zip(indices, scored, strict=True), sources, limits.prediction, codec.contract.entity
    )
    failed_versions = _versions_of(indices, scored, unanswerable)
    rejected_at = undecodable | unanswerable | _name_errors(failures, unanswerable)
    return Outcome(
        prediction_messages=prediction_messages,
        dead_letter_messages=[
            encode_dead_letter(
                rejected_at[index],
                sources,
                model_version=failed_versions.get(index, scorer.version),
                failed_at=processed_at,
                limit=limits.letter,
            )
            for index in sorted(rejected_at)
        ],
        predictions=predictions,
        rejected=[rejected_at[index].rejection for index in sorted(rejected_at)],
        next_offsets=_next_offsets(records),
        positive=codec.contract.label.positive,
        most_consecutive_dead_letters=count_most_consecutive(rejected_at, consecutive_before),
        consecutive_dead_letters=count_consecutive_at_end(rejected_at, len(records), consecutive_before),
        model_errors=tuple(sorted({error.cause for error in failures.values()})),
        by_version=_count_by_version(scorer, canary, predictions, unanswerable, failed_versions),
        events=_answered(indices, events, unanswerable),
        probabilities=_probabilities_of(predictions) if unanswerable else probabilities,
    )


def check_outcomes(  # noqa: PLR0913 - as above
    records: Sequence[Record],
    codec: EventCodec,
    *,
    processed_at: str,
    limits: Limits,
    topic_id: str | None = None,
    consecutive_before: int = 0,
) -> Outcome:
    """Accept each outcome that the codec of `outcome_contract` decodes, and write a dead letter for any other record.

    The parameters are those of `process`.
    """
    sources = SourceHeaders(topic_id)
    _, events, rejected_at = decode_events(records, codec)
    return Outcome(
        prediction_messages=[],
        dead_letter_messages=[
            encode_dead_letter(rejected, sources, model_version=None, failed_at=processed_at, limit=limits.letter)
            for rejected in rejected_at.values()
        ],
        predictions=[],
        rejected=[rejected.rejection for rejected in rejected_at.values()],
        next_offsets=_next_offsets(records),
        positive=codec.contract.label.positive,
        most_consecutive_dead_letters=count_most_consecutive(rejected_at, consecutive_before),
        consecutive_dead_letters=count_consecutive_at_end(rejected_at, len(records), consecutive_before),
        accepted=len(events),
    )


def compare_shadow(shadow: Scorer, outcome: Outcome) -> ShadowComparison:
    """Score the answered events of a batch with another model, and compare its probabilities with the answers."""
    positive = outcome.positive
    probabilities = score_each(shadow, outcome.events)
    pairs = [
        (prediction, probability)
        for prediction, probability in zip(outcome.predictions, probabilities, strict=True)
        if 0.0 <= probability <= 1.0
    ]
    return ShadowComparison(
        version=shadow.version,
        compared=len(pairs),
        failed=len(probabilities) - len(pairs),
        changed_decisions=sum(
            (probability >= shadow.threshold) != (prediction.prediction == positive)
            for prediction, probability in pairs
        ),
        differences=[abs(probability - prediction.probability) for prediction, probability in pairs],
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


def decode_events(records: Sequence[Record], codec: EventCodec) -> tuple[list[int], EventBatch, dict[int, Rejected]]:
    """Return the events, their indices in the batch, and the records that hold no valid event by index."""
    indices: list[int] = []
    events = EventBatch()
    rejected: dict[int, Rejected] = {}
    decode = codec.decode
    for index, record in enumerate(records):
        try:
            events.append(decode(record.value()))
        except BAD_DATA as error:
            rejected[index] = Rejected(record, *codec.explain(record.value(), error))
        else:
            indices.append(index)
    return indices, events, rejected


def _next_offsets(records: Iterable[Record]) -> dict[int, int]:
    """Return the offset after the last record of each partition."""
    last_records = {record.partition(): record for record in records}
    return {partition: record.offset() + 1 for partition, record in last_records.items()}


def _answered(indices: Sequence[int], events: EventBatch, unanswerable: Mapping[int, Rejected]) -> EventBatch:
    """Return the events that have a prediction: the same batch, which is packed already, if all have one."""
    if not unanswerable:
        return events
    return EventBatch(event for index, event in zip(indices, events, strict=True) if index not in unanswerable)


@dataclass(frozen=True, slots=True)
class _PredictionOptions:
    """Contents of predictions besides the answer of the model."""

    processed_at: str
    holdout: Holdout | None
    reasons: ReasonRequest | None

    def optional_fields(
        self, scorer: Scorer, events: EventBatch, probabilities: Sequence[float]
    ) -> dict[str, Sequence[Any]]:
        """Return the optional fields, with a value for each event."""
        fields: dict[str, Sequence[Any]] = {}
        if self.holdout is not None:
            fields[CONTROL] = self.holdout.marks(event.key for event in events)
        if self.reasons is not None:
            fields |= self.reasons.fields(scorer, events, probabilities)
        return fields


def _predict(  # noqa: PLR0913, PLR0917 - a batch, its models and its errors
    indices: Sequence[int],
    events: EventBatch,
    scorer: Scorer,
    canary: CanaryModel | None,
    options: _PredictionOptions,
    failures: dict[int, ScoringError],
) -> tuple[list[Prediction], list[float]]:
    """Return a prediction for each event, in their order, and their probabilities.

    Those of the canary's keys are by the canary, and the others by the scorer.
    """
    if canary is not None:
        sides = [canary.takes(event.key.encode()) for event in events]
        of_canary, of_scorer = (
            iter(
                _predict(
                    [*compress(indices, takes)], EventBatch(compress(events, takes)), model, None, options, failures
                )[0]
            )
            for takes, model in ((sides, canary.scorer), ([not side for side in sides], scorer))
        )
        merged = [next(of_canary if side else of_scorer) for side in sides]
        return merged, _probabilities_of(merged)
    probabilities = _score(indices, events, scorer, failures)
    predictions = scorer.codec.build_predictions(
        events,
        probabilities,
        threshold=scorer.threshold,
        processed_at=options.processed_at,
        model_version=scorer.version,
        optional=options.optional_fields(scorer, events, probabilities),
    )
    return predictions, probabilities


def _probabilities_of(predictions: Iterable[Prediction]) -> list[float]:
    return [prediction.probability for prediction in predictions]


def _versions_of(
    indices: Sequence[int], scored: Iterable[Prediction], unanswerable: Mapping[int, Rejected]
) -> dict[int, str]:
    """Return the version that has scored each of the unanswerable records, by index."""
    if not unanswerable:
        return {}
    pairs = zip(indices, scored, strict=True)
    return {index: prediction.model_version for index, prediction in pairs if index in unanswerable}


def _count_by_version(
    scorer: Scorer,
    canary: CanaryModel | None,
    predictions: Sequence[Prediction],
    unanswerable: Mapping[int, Rejected],
    versions: Mapping[int, str],
) -> dict[str, VersionCounts]:
    """Return the counts of the models of this batch; a prediction that is too large is not a failure of its model."""
    failed = Counter(
        versions[index] for index, record in unanswerable.items() if record.error_type == ErrorType.SCORING
    )
    if canary is None:
        return {scorer.version: VersionCounts(len(predictions), failed[scorer.version])}
    predicted = Counter(prediction.model_version for prediction in predictions)
    versions_asked = (scorer.version, canary.scorer.version)
    return {version: VersionCounts(predicted[version], failed[version]) for version in versions_asked}


def _score(
    indices: Sequence[int], events: Sequence[Event], scorer: Scorer, failures: dict[int, ScoringError]
) -> list[float]:
    """Return a probability for each event, NaN if the model fails on it; add its errors to `failures` by index.

    One call scores all of them. If it fails, both halves are scored separately until each failing event is alone.
    """
    if not events:
        return []
    try:
        return scorer.score(events)
    except ScoringError as error:
        if len(events) == 1:
            failures[indices[0]] = error
            return [math.nan]
        half = len(events) // 2
        halves = (slice(None, half), slice(half, None))
        return [score for part in halves for score in _score(indices[part], events[part], scorer, failures)]


def _name_errors(failures: Mapping[int, ScoringError], rejected: Mapping[int, Rejected]) -> dict[int, Rejected]:
    """Return the records on which the model has failed, with its error."""
    return {
        index: replace(rejected[index], message=f"The model failed: {error.reason}")
        for index, error in failures.items()
    }


def _encode(
    records: Sequence[Record],
    scored: Iterable[tuple[int, Prediction]],
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
    for index, prediction in scored:
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
