"""scikit-learn engine: runs the pipeline as it was trained."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from operator import attrgetter
from pickle import UnpicklingError
from typing import Any

import joblib
import pandas as pd
import sklearn
from sklearn.exceptions import InconsistentVersionWarning
from sklearn.pipeline import Pipeline

from telco_stream.contract.customer import FEATURES, Customer
from telco_stream.errors import ModelError
from telco_stream.model.manifest import RETRAIN
from telco_stream.model.scorer import call_model, check_probabilities

#: Exceptions of `pickle` for invalid bytes; missing libraries raise others.
_BROKEN_PICKLE = (UnpicklingError, EOFError, KeyError, IndexError, TypeError, ValueError)
SKLEARN_VERSION: str = sklearn.__version__

_features_of = attrgetter(*FEATURES)


@dataclass(frozen=True, slots=True)
class SklearnScorer:
    """Scorer that runs a scikit-learn pipeline."""

    version: str
    threshold: float
    pipeline: Pipeline
    engine: str = "sklearn"

    def score(self, customers: Sequence[Customer]) -> list[float]:
        """Return the churn probability of each customer, in their order; raise ScoringError if the model fails."""
        probabilities = call_model("sklearn", lambda rows: self.pipeline.predict_proba(frame(rows)), customers)
        scores: list[float] = probabilities[:, 1].tolist()
        return scores


def frame(customers: Sequence[Customer]) -> pd.DataFrame:
    """Build the input of the pipeline: one row per customer, one column per feature."""
    return pd.DataFrame(list(map(_features_of, customers)), columns=list(FEATURES))


def load_sklearn(pickled: bytes, *, version: str, threshold: float) -> SklearnScorer:
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
    check_pipeline(pipeline)
    return SklearnScorer(version, threshold, pipeline)


def check_pipeline(pipeline: Any) -> None:  # noqa: ANN401 - an unpickled object of any type
    """Raise ModelError unless the pipeline returns the probabilities of No and Yes for each customer."""
    try:
        _check_classes(pipeline)
        check_probabilities(lambda customers: pipeline.predict_proba(frame(customers)))
    except ModelError as error:
        raise ModelError(f"The pipeline can't be used: {error}; {RETRAIN}") from error


def _check_classes(pipeline: Any) -> None:  # noqa: ANN401 - as above
    if not hasattr(pipeline, "predict_proba"):
        raise ModelError(f"a {type(pipeline).__name__} has no predict_proba")
    if list(getattr(pipeline, "classes_", ())) not in ([False, True], ["No", "Yes"]):
        raise ModelError("its classes are not No and Yes, nor 0 and 1")
