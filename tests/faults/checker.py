"""The judge: each input answered exactly once, with the model's own probability.

It shares nothing with `telco-stream verify` but the topics: a reader of its own, keys and sources compared one by one.
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from tests.support.topics import StoredRecord, Topics, read_topic

#: Two engines may differ by that much; a compiled model that differs by more is never written.
_TOLERANCE = 1e-6
#: Offenders that a complaint names.
_NAMED = 5


@dataclass(frozen=True, slots=True)
class Input:
    """A record of the raw topic, and its answer: a probability, or None for a dead letter."""

    key: str
    expected: float | None


@dataclass(frozen=True, slots=True)
class Answer:
    """A record of the predictions topic, or with None a dead letter; `source` is topic/partition/offset."""

    source: str
    key: str
    probability: float | None


@dataclass(frozen=True, slots=True)
class Verdict:
    """The offenders, by what is wrong with them."""

    inputs: int
    missing: list[str]
    duplicated: list[str]
    unexplained: list[str]
    wrong: list[str]

    def complaint(self) -> str:
        """What is wrong, with the first few offenders; empty if nothing is."""
        faults = {"missing": self.missing, "duplicated": self.duplicated, "unexplained": self.unexplained}
        faults["wrong probability"] = self.wrong
        return "; ".join(f"{len(keys)} {what}: {keys[:_NAMED]}" for what, keys in faults.items() if keys)


def check_answers(inputs: Mapping[str, Input], answers: Iterable[Answer]) -> Verdict:
    """Who was answered how often, and how well; `inputs` are named by their source."""
    unexplained, wrong = [], []
    times: Counter[str] = Counter()
    for answer in answers:
        found = inputs.get(answer.source)
        if found is None or found.key != answer.key:
            unexplained.append(f"{answer.key} of {answer.source}")
            continue
        times[answer.source] += 1
        if not _agree(answer.probability, found.expected):
            wrong.append(f"{answer.key} of {answer.source}: {answer.probability}, not {found.expected}")
    return Verdict(
        inputs=len(inputs),
        missing=[f"{found.key} of {source}" for source, found in inputs.items() if not times[source]],
        duplicated=[f"{inputs[source].key} of {source}" for source, number in times.items() if number > 1],
        unexplained=unexplained,
        wrong=wrong,
    )


def not_sent_once(sent: Mapping[str, int], keys: Iterable[str]) -> list[str]:
    """The customers that the raw topic doesn't hold as often as they were to be sent, and strangers."""
    found = Counter(keys)
    return [f"{key}: {found[key]} times" for key in sent.keys() | found.keys() if found[key] != sent.get(key, 0)]


def read_inputs(bootstrap: str, topic: str, expected: Mapping[str, float | None]) -> dict[str, Input]:
    """The committed records of the raw topic."""
    return {source_of(kept): Input(key_of(kept), expected.get(key_of(kept))) for kept in read_topic(bootstrap, topic)}


def read_answers(bootstrap: str, topics: Topics) -> list[Answer]:
    """The committed predictions and dead letters."""
    letters = [
        Answer(kept.header("source") or "", key_of(kept), None) for kept in read_topic(bootstrap, topics.deadletter)
    ]
    return letters + [_prediction(kept) for kept in read_topic(bootstrap, topics.predictions)]


def source_of(kept: StoredRecord) -> str:
    """Where a record stands, as answers write it."""
    return f"{kept.topic}/{kept.partition}/{kept.offset}"


def key_of(kept: StoredRecord) -> str:
    """The record's key, as text."""
    return (kept.key or b"").decode()


def _prediction(kept: StoredRecord) -> Answer:
    value = kept.json()
    assert value["customerID"] == key_of(kept), f"the value of {source_of(kept)} is another customer's than its key"
    return Answer(kept.header("source") or "", key_of(kept), value["churn_probability"])


def _agree(found: float | None, expected: float | None) -> bool:
    if found is None or expected is None:
        return found is expected
    return math.isclose(found, expected, rel_tol=0, abs_tol=_TOLERANCE)
