"""Golden rows of a model folder: events with the probabilities that the model gave where it was made.

Loading scores them, so that a model that fails or computes otherwise on this machine is refused before the first record
is read. The rows are not real customers: the values of each column are drawn independently.
"""

import math
from collections.abc import Iterator, Sequence
from random import Random
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from telco_stream.contract.events import BAD_DATA, Event, EventCodec
from telco_stream.contract.schema import Boolean, Carried, Category, Feature, Text
from telco_stream.errors import ModelError
from telco_stream.model.scorer import Scorer, ScoringError, score_each

GOLDEN_ROWS = 200
#: Largest difference of a probability from the one in the file.
TOLERANCE = 1e-6
#: Largest number of rows that a file can have, which limits the time that loading it takes.
_MAX_ROWS = 10_000
#: Share of the limits, nulls and unknown texts among the values of a column.
_EDGE_SHARE = 0.2
_TIME = "1970-01-01T00:00:00Z"


class Golden(msgspec.Struct, frozen=True):
    """Content of `golden.json`: names of the features, their values as in a record, and a probability for each row."""

    columns: list[str]
    rows: Annotated[list[list[Any]], Meta(max_length=_MAX_ROWS)]
    probabilities: list[Annotated[float, Meta(ge=0, le=1)]]


_decode = msgspec.json.Decoder(Golden).decode


def make_golden(scorer: Scorer, events: Sequence[Event], *, seed: int) -> bytes:
    """Draw rows from the values of these events and the limits of the contract, or from the limits alone; score them.

    Rows on which the model fails are left out.
    """
    codec, random = scorer.codec.events, Random(seed)  # noqa: S311 - not used for cryptography
    usual = {feature.name: codec.values(feature.name, events) for feature in codec.contract.features}
    edges = {feature.name: list(_edges(feature)) for feature in codec.contract.features}
    rows = [
        [random.choice(edges[name] if random.random() < _EDGE_SHARE else usual[name] or edges[name]) for name in usual]
        for _ in range(GOLDEN_ROWS)
    ]
    scores = score_each(scorer, _events(codec, list(usual), rows))
    scored = [(row, score) for row, score in zip(rows, scores, strict=True) if not math.isnan(score)]
    return _encode(Golden(list(usual), [row for row, _ in scored], [score for _, score in scored]))


def score_golden(content: bytes, scorer: Scorer) -> bytes:
    """Return the file with the same rows and the probabilities of another model of the same contract."""
    golden = _read(content)
    scores = scorer.score(_events(scorer.codec.events, golden.columns, golden.rows))
    return _encode(Golden(golden.columns, golden.rows, scores))


def check_golden(content: bytes, scorer: Scorer) -> None:
    """Score the rows of the file; raise ModelError if the model fails, or if a probability differs."""
    golden = _read(content)
    try:
        events = _events(scorer.codec.events, golden.columns, golden.rows)
        scores = scorer.score(events)
    except ScoringError as error:
        raise ModelError(f"The model can't be used here: it fails on its golden rows: {error.reason}") from error
    except BAD_DATA as error:
        raise ModelError(f"The golden rows of the model do not follow its contract: {error}") from error
    differences = [abs(score - expected) for score, expected in zip(scores, golden.probabilities, strict=True)]
    differing = [difference for difference in differences if not difference <= TOLERANCE]  # not a number differs, too
    if differing:
        raise ModelError(
            f"The model can't be used here: it gives other probabilities than where it was made, by up to "
            f"{max(differing):.1e} in {len(differing)} of {len(scores)} golden rows ({TOLERANCE:.0e} is allowed): "
            "install the versions of the libraries in its manifest, or train it again"
        )


def golden_events(content: bytes, codec: EventCodec) -> list[Event]:
    """Return the events of the file, whose rows have been checked."""
    golden = _read(content)
    return _events(codec, golden.columns, golden.rows)


def _encode(golden: Golden) -> bytes:
    return msgspec.json.encode(golden).replace(b"],[", b"],\n[") + b"\n"


def _read(content: bytes) -> Golden:
    try:
        golden = _decode(content)
    except ValueError as error:
        raise ModelError(f"The golden rows of the model can't be read: {error}") from error
    if {len(row) for row in golden.rows} - {len(golden.columns)} or len(golden.rows) != len(golden.probabilities):
        raise ModelError("The golden rows of the model can't be read: a value is missing")
    return golden


def _events(codec: EventCodec, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> list[Event]:
    """Decode rows as records are decoded; raise one of `BAD_DATA` if one does not follow the contract."""
    contract = codec.contract
    same = {contract.key.name: "1", contract.time.name: _TIME}
    same |= {column.name: _first(column) for column in contract.carried_columns}
    records = (same | dict(zip(columns, row, strict=True)) for row in rows)
    return [codec.decode(msgspec.json.encode(record)) for record in records]


def _edges(feature: Feature) -> Iterator[Any]:
    """Yield the limits of a number, or the values of a category and a text that is not one, and null if allowed."""
    match feature:
        case Category():
            yield from feature.values
            if feature.other is not None:
                yield f"not {'|'.join(feature.values)}"[:256]
        case Boolean():
            yield from (False, True)
        case _:
            yield from (feature.minimum, feature.maximum)
    if feature.nullable:
        yield None


def _first(column: Carried) -> Any:  # noqa: ANN401 - of any column
    """Return a value that the column accepts."""
    if column.nullable:
        return None
    match column:
        case Category():
            return column.values[0]
        case Boolean():
            return False
        case Text():
            return ""
    return column.minimum
