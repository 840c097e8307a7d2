"""Protocol of a loaded model, independent of its engine, and the check that a model follows it."""

import math
import re
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from telco_stream.contract.events import Event, EventCodec
from telco_stream.contract.schema import Boolean, Category, Feature, Label
from telco_stream.errors import ModelError
from telco_stream.messages.codec import Codec

#: Maximum length of an error's class and first line.
_MAX_REASON = 200
#: A quotation mark that is not an apostrophe inside a word, and all that follows.
_QUOTED = re.compile(r"""((?<!\w)['"`]|['"`](?!\w)).*""", re.DOTALL)
_DIGITS = re.compile(r"\d+([.,]\d+)*")
if TYPE_CHECKING:
    from telco_stream.model.reasons.explainer import Explainer

#: Largest deviation of the sum of both probabilities from 1; single precision deviates by 1e-7.
_TOLERANCE = 1e-3
#: Classes of models that were fitted to numbers or booleans, as texts.
_USUAL_CLASSES = (["0", "1"], ["False", "True"], ["0.0", "1.0"])


class ScoringError(Exception):
    """Failure of the engine on bad data; `scoring` splits the batch to isolate the customers that cause it.

    The message names no value of a customer. `reason` is the class and the first line of the engine's error, which may
    quote values; `cause` is the same up to the first quotation mark and without digits.
    """

    def __init__(self, message: str, error: Exception | None = None) -> None:
        super().__init__(message)
        first_line = str(error or "").strip().partition("\n")[0]
        kind = type(error).__name__ if error else message
        reason = f"{kind}: {first_line}" if first_line else kind
        self.reason = reason if len(reason) <= _MAX_REASON else f"{reason[: _MAX_REASON - 1]}…"
        self.cause = _DIGITS.sub("…", _QUOTED.sub("…", self.reason))


class Scorer(Protocol):
    """Loaded model."""

    @property
    def version(self) -> str:
        """Version of the model, from its manifest."""

    @property
    def threshold(self) -> float:
        """Lowest probability for which the prediction is the positive value of the label."""

    @property
    def codec(self) -> Codec:
        """Codec of the contract that the model was trained with."""

    @property
    def engine(self) -> str:
        """Name of the engine: onnx or sklearn."""

    @property
    def explainer(self) -> "Explainer | None":
        """Exact reasons of its answers, if they were loaded."""

    def score(self, events: Sequence[Event]) -> list[float]:
        """Return the probability of each event, in their order; raise ScoringError if the model fails."""


def call_model(engine: str, predict: Callable[[Sequence[Event]], Any], events: Sequence[Event]) -> Any:  # noqa: ANN401 - an array of any type
    """Call the model; raise ScoringError for any error of its code."""
    try:
        return predict(events)
    except Exception as error:  # the code of a model may raise anything
        raise ScoringError(f"{engine}: {type(error).__name__}", error) from error


def score_each(scorer: Scorer, events: Sequence[Event]) -> list[float]:
    """Return the probability of each event, NaN if the model raises any exception for it."""
    try:
        scores: list[float] = call_model(scorer.engine, scorer.score, events)
    except ScoringError:
        half = len(events) // 2
        return score_each(scorer, events[:half]) + score_each(scorer, events[half:]) if half else [math.nan]
    return scores


def positive_position(classes: Iterable[object], label: Label) -> int:
    """Return the position of the positive label among a model's classes; raise ModelError for other classes."""
    texts = list(map(str, classes))
    for usual in ([label.negative, label.positive], *_USUAL_CLASSES):
        if texts in (usual, usual[::-1]):
            return int(texts == usual)
    known = f"not {label.negative} and {label.positive}, nor 0 and 1"
    raise ModelError(f"its classes are {known}, but {', '.join(texts) or 'none'}")


def check_probabilities(codec: EventCodec, predict: Callable[[Sequence[Event]], Any]) -> None:
    """Call the model with three events and with one; raise ModelError if it fails or returns invalid values."""
    import numpy as np  # noqa: PLC0415 - `scoring` imports this module, but only a loaded model needs numpy

    examples = [_example(codec, number) for number in range(3)]
    for events in (examples, examples[:1]):
        try:
            probabilities = call_model("check", lambda events: np.asarray(predict(events)), events)
        except ScoringError as error:
            raise ModelError(f"it fails on an example ({error.reason})") from error
        _check_array(probabilities, (len(events), 2))


def _check_array(probabilities: Any, expected: tuple[int, int]) -> None:  # noqa: ANN401 - an array of any type
    if probabilities.shape != expected:
        shape = "x".join(map(str, probabilities.shape)) or "a single"
        raise ModelError(
            f"it gives {shape} values for {expected[0]} events, not the probabilities of both labels for each"
        )
    if probabilities.dtype.kind != "f":
        raise ModelError(f"its probabilities are of type {probabilities.dtype}, not floating point")
    in_range = ((probabilities >= 0) & (probabilities <= 1)).all()
    if not (in_range and (abs(probabilities.sum(axis=1) - 1) <= _TOLERANCE).all()):
        raise ModelError("its two values for an event are not probabilities that add up to 1")


def _example(codec: EventCodec, number: int) -> Event:
    """Return a valid event: with the first values (0), the last ones (1), or null wherever it is allowed (2)."""
    return codec.make({feature.name: _example_value(feature, number) for feature in codec.contract.features})


def _example_value(feature: Feature, number: int) -> Any:  # noqa: ANN401 - of any column
    if number == 2 and feature.nullable:  # noqa: PLR2004 - the third example
        return None
    match feature:
        case Category():
            return feature.values[-1 if number == 1 else 0]
        case Boolean():
            return number == 1
    return feature.minimum + (number == 1)
