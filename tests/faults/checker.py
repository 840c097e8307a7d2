"""Checks that each input is answered exactly once, with the probability of the model.

Independent of `telco-stream verify`: it reads the topics with its own reader and compares keys and sources.
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from tests.support.topics import StoredRecord, Topics, read_topic

#: Largest difference between two engines; a model that differs by more is never exported.
_TOLERANCE = 1e-6
#: Inputs that an error message names.
_NAMED = 5


@dataclass(frozen=True, slots=True)
class Input:
    """A record of the raw topic with the expected probability, or None for a dead letter."""

    key: str
    expected: float | None


@dataclass(frozen=True, slots=True)
class Answer:
    """A prediction, or a dead letter if `probability` is None; `source` is TOPIC/PARTITION/OFFSET."""

    source: str
    key: str
    probability: float | None


@dataclass(frozen=True, slots=True)
class Verdict:
    """Wrong answers, by kind of error."""

    inputs: int
    missing: list[str]
    duplicated: list[str]
    unexplained: list[str]
    wrong: list[str]

    def describe_errors(self) -> str:
        """Describe the errors with the first few inputs of each kind; empty if there are none."""
        errors = {"missing": self.missing, "duplicated": self.duplicated, "unexplained": self.unexplained}
        errors["wrong probability"] = self.wrong
        return "; ".join(f"{len(keys)} {kind}: {keys[:_NAMED]}" for kind, keys in errors.items() if keys)


def check_answers(inputs: Mapping[str, Input], answers: Iterable[Answer]) -> Verdict:
    """Compare answers with the inputs, which are keyed by their source."""
    unexplained, wrong = [], []
    times: Counter[str] = Counter()
    for answer in answers:
        record = inputs.get(answer.source)
        if record is None or record.key != answer.key:
            unexplained.append(f"{answer.key} of {answer.source}")
            continue
        times[answer.source] += 1
        if not _agree(answer.probability, record.expected):
            wrong.append(f"{answer.key} of {answer.source}: {answer.probability}, not {record.expected}")
    return Verdict(
        inputs=len(inputs),
        missing=[f"{record.key} of {source}" for source, record in inputs.items() if not times[source]],
        duplicated=[f"{inputs[source].key} of {source}" for source, count in times.items() if count > 1],
        unexplained=unexplained,
        wrong=wrong,
    )


def not_sent_once(sent: Mapping[str, int], keys: Iterable[str]) -> list[str]:
    """Return the customers whose count in the raw topic differs from how often they were sent."""
    counts = Counter(keys)
    return [f"{key}: {counts[key]} times" for key in sent.keys() | counts.keys() if counts[key] != sent.get(key, 0)]


def read_inputs(bootstrap: str, topic: str, expected: Mapping[str, float | None]) -> dict[str, Input]:
    """Return the committed records of the raw topic by source."""
    records = read_topic(bootstrap, topic)
    return {source_of(record): Input(key_of(record), expected.get(key_of(record))) for record in records}


def read_answers(bootstrap: str, topics: Topics) -> list[Answer]:
    """Return the committed predictions and dead letters."""
    letters = [
        Answer(record.header("source") or "", key_of(record), None)
        for record in read_topic(bootstrap, topics.deadletter)
    ]
    return letters + [_prediction(record) for record in read_topic(bootstrap, topics.predictions)]


def source_of(record: StoredRecord) -> str:
    """Return the record's coordinates as the `source` header holds them."""
    return f"{record.topic}/{record.partition}/{record.offset}"


def key_of(record: StoredRecord) -> str:
    """Return the record's key as text."""
    return (record.key or b"").decode()


def _prediction(record: StoredRecord) -> Answer:
    value = record.json()
    assert value["customerID"] == key_of(record), f"key and value of {source_of(record)} name different customers"
    return Answer(record.header("source") or "", key_of(record), value["churn_probability"])


def _agree(actual: float | None, expected: float | None) -> bool:
    if actual is None or expected is None:
        return actual is expected
    return math.isclose(actual, expected, rel_tol=0, abs_tol=_TOLERANCE)
