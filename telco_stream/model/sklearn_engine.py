"""scikit-learn engine: runs the pipeline as it was trained."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pickle import UnpicklingError
from typing import Any

import joblib
import numpy as np
import pandas as pd
import sklearn
from sklearn.exceptions import InconsistentVersionWarning
from sklearn.pipeline import Pipeline

from telco_stream.contract.events import Event, EventCodec
from telco_stream.contract.schema import Category
from telco_stream.errors import ModelError
from telco_stream.messages.codec import Codec
from telco_stream.model.features import category_texts, feature_table
from telco_stream.model.manifest import RETRAIN
from telco_stream.model.scorer import call_model, check_probabilities

#: Exceptions of `pickle` for invalid bytes; missing libraries raise others.
_BROKEN_PICKLE = (UnpicklingError, EOFError, KeyError, IndexError, TypeError, ValueError)
#: Rows are filled up to a multiple of this number: matrix libraries, which process several rows at a time, add the
#: products of the remaining rows in another order, which gives other bits.
_ROWS = 16
SKLEARN_VERSION: str = sklearn.__version__


@dataclass(frozen=True, slots=True)
class SklearnScorer:
    """Scorer that runs a scikit-learn pipeline."""

    version: str
    threshold: float
    pipeline: Pipeline
    codec: Codec
    engine: str = "sklearn"

    def score(self, events: Sequence[Event]) -> list[float]:
        """Return the probability of each event, in their order; raise ScoringError if the model fails."""
        codec = self.codec.events
        rows = [*events, *list(events[-1:]) * (-len(events) % _ROWS)]
        probabilities = call_model("sklearn", lambda rows: self.pipeline.predict_proba(frame(codec, rows)), rows)
        scores: list[float] = probabilities[: len(events), 1].tolist()
        return scores


def frame(codec: EventCodec, events: Sequence[Event]) -> pd.DataFrame:
    """Build the input of the pipeline: a row per event, a column per feature; categories are texts, None for null."""
    table, columns = feature_table(codec, events), {}
    for position, feature in enumerate(codec.contract.features):
        column = table[:, position]
        if isinstance(feature, Category):
            texts = np.array(category_texts(codec, feature), object)
            columns[feature.name] = pd.Series(texts[column.astype(np.intp)], dtype=object)
        else:
            columns[feature.name] = pd.Series(column)
    return pd.DataFrame(columns)


def load_sklearn(pickled: bytes, codec: Codec, *, version: str, threshold: float) -> SklearnScorer:
    """Create the scorer from the verified bytes of a pipeline; raise ModelError if it cannot be loaded or used here."""
    with warnings.catch_warnings():
        # Major and minor version have been compared; another patch level is harmless.
        warnings.simplefilter("ignore", InconsistentVersionWarning)
        try:
            pipeline = joblib.load(BytesIO(pickled))
        except _BROKEN_PICKLE as error:
            raise ModelError(f"The model can't be unpickled ({type(error).__name__}): {RETRAIN}") from error
        except (AttributeError, ImportError) as error:
            raise ModelError(
                f"The model needs other versions of its libraries ({error}): install those in its manifest"
            ) from error
    check_pipeline(pipeline, codec)
    return SklearnScorer(version, threshold, pipeline, codec)


def check_pipeline(pipeline: Any, codec: Codec) -> None:  # noqa: ANN401 - an unpickled object of any type
    """Raise ModelError unless the pipeline returns the probabilities of both labels for each event."""
    try:
        _check_classes(pipeline, codec)
        check_probabilities(codec.events, lambda events: pipeline.predict_proba(frame(codec.events, events)))
    except ModelError as error:
        raise ModelError(f"The pipeline can't be used: {error}; {RETRAIN}") from error


def _check_classes(pipeline: Any, codec: Codec) -> None:  # noqa: ANN401 - as above
    if not hasattr(pipeline, "predict_proba"):
        raise ModelError(f"a {type(pipeline).__name__} has no predict_proba")
    negative, positive = codec.contract.label.negative, codec.contract.label.positive
    if list(getattr(pipeline, "classes_", ())) not in ([False, True], [negative, positive]):
        raise ModelError(f"its classes are not {negative} and {positive}, nor 0 and 1")
