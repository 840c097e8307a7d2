"""Numbered customers with the probability that the model predicts.

Independent of the package's scoring: the JSON is written here, and the probabilities come from the library that fitted
the model, for the bundled one from the scikit-learn pipeline.
"""

import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import count, islice
from random import Random
from typing import TypeAlias

import joblib
import pandas as pd

from telco_stream.sample.synthetic import synthesize
from tests.support.cli import ROOT
from tests.support.telco import COLUMNS, NUMBERS

#: Number of different customers; a prime, so that they change their positions in batches.
_KINDS = 1_999
_INTEGERS = ("SeniorCitizen", "tenure")

#: Returns the probability of the positive label for each row of a frame, which has the columns of the CSV.
Predict: TypeAlias = Callable[[pd.DataFrame], Sequence[float]]


@dataclass(frozen=True, slots=True)
class NumberedCustomer:
    """A record to send with the expected probability, or None for a dead letter."""

    key: str
    value: bytes
    expected: float | None


def predict_bundled(frame: pd.DataFrame) -> Sequence[float]:
    """Predict with the bundled pipeline."""
    probabilities: list[float] = joblib.load(ROOT / "models/churn/pipeline.joblib").predict_proba(frame)[:, 1].tolist()
    return probabilities


def numbered(random: Random, poison: float = 0.0, predict: Predict = predict_bundled) -> Iterator[NumberedCustomer]:
    """Yield customers with unique IDs without end; `poison` is the share of records that cannot be scored."""
    customers, probabilities = _customers(), _probabilities(predict)
    for number in count():
        key = f"{number:07d}"
        fields, expected = customers[number % _KINDS], probabilities[number % _KINDS]
        if random.random() < poison:
            yield NumberedCustomer(key, random.choice(_POISON)(key), None)
        else:
            yield NumberedCustomer(key, _json(fields | {"customerID": key}), expected)


def numbered_csv(rows: int) -> tuple[str, dict[str, float | None]]:
    """Return a CSV with `rows` numbered customers, and the expected probability of each."""
    lines = [",".join([f"{number:07d}", *_rows()[number % _KINDS][1:]]) for number in range(rows)]
    expected = {f"{number:07d}": _probabilities(predict_bundled)[number % _KINDS] for number in range(rows)}
    return "\n".join([",".join(COLUMNS), *lines, ""]), dict(expected)


@cache
def _rows() -> list[list[str]]:
    return list(islice(synthesize(1), _KINDS))


@cache
def _customers() -> list[dict[str, object]]:
    """Return the fields of each different customer."""
    return [_fields(row) for row in _rows()]


@cache
def _probabilities(predict: Predict) -> Sequence[float]:
    frame = pd.DataFrame(_customers()).astype(dict.fromkeys(NUMBERS, float)).fillna(0.0)  # as the contract fills blanks
    return predict(frame)


def _fields(row: list[str]) -> dict[str, object]:
    fields: dict[str, object] = dict(zip(COLUMNS, row, strict=True))
    for name in NUMBERS:
        text = str(fields[name]).strip()
        fields[name] = int(text) if name in _INTEGERS else float(text) if text else math.nan
    return fields


def _json(fields: dict[str, object]) -> bytes:
    blank = {name: None for name, value in fields.items() if value != value}  # noqa: PLR0124 - NaN
    return json.dumps(fields | blank | {"event_ts": "2026-01-01T00:00:00Z"}).encode()


_POISON = (
    lambda key: f'{{"customerID":"{key}","tenure"'.encode(),
    lambda key: _json(_customers()[0] | {"customerID": key, "tenure": "long"}),
    lambda key: _json(_customers()[0] | {"customerID": key, "Contract": "Forever"}),
    lambda key: key.encode() + b"\xff\xfe",
    lambda key: b" " * len(key),
)
