"""The scikit-learn engine: the pipeline as it was trained."""

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
from telco_stream.model.interface import check_probabilities
from telco_stream.model.scorer import ScoringError

#: What `pickle` raises on bytes that are not its own, beside the errors of missing libraries.
_BROKEN_PICKLE = (UnpicklingError, EOFError, KeyError, IndexError, TypeError, ValueError)
_RETRAIN = "make one with telco-stream train"
SKLEARN_VERSION: str = sklearn.__version__

_features_of = attrgetter(*FEATURES)


@dataclass(frozen=True, slots=True)
class SklearnScorer:
    """A pipeline, ready to score."""

    version: str
    threshold: float
    pipeline: Pipeline
    engine: str = "sklearn"

    def score(self, customers: Sequence[Customer]) -> list[float]:
        """The probability of churn of each customer, in their order; raises `ScoringError`."""
        try:
            probabilities = self.pipeline.predict_proba(frame(customers))
        except (TypeError, ValueError) as error:
            raise ScoringError(f"sklearn: {type(error).__name__}") from error
        scores: list[float] = probabilities[:, 1].tolist()
        return scores


def frame(customers: Sequence[Customer]) -> pd.DataFrame:
    """One row a customer, one column a feature: what the pipeline is fitted to, and what it scores."""
    return pd.DataFrame(list(map(_features_of, customers)), columns=list(FEATURES))


def load_sklearn(pickled: bytes, *, version: str, threshold: float) -> SklearnScorer:
    """The scorer in a pipeline's verified bytes; raises ModelError where the libraries here lack what it is made of."""
    with warnings.catch_warnings():
        # Major and minor version were compared before; a patch level between them is harmless.
        warnings.simplefilter("ignore", InconsistentVersionWarning)
        try:
            pipeline = joblib.load(BytesIO(pickled))
        except _BROKEN_PICKLE as error:
            raise ModelError(f"The model can't be unpickled ({type(error).__name__}): {_RETRAIN}") from error
        except (AttributeError, ImportError) as error:
            raise ModelError(
                f"The model needs other libraries than these ({error}): install the versions in its manifest"
            ) from error
    check_pipeline(pipeline)
    return SklearnScorer(version, threshold, pipeline)


def check_pipeline(pipeline: Any) -> None:  # noqa: ANN401 - whatever was unpickled
    """Raises ModelError unless it gives the probabilities of No and Yes for each customer."""
    try:
        _check_classes(pipeline)
        check_probabilities(lambda customers: pipeline.predict_proba(frame(customers)))
    except ModelError as error:
        raise ModelError(f"The pipeline can't be used: {error}; {_RETRAIN}") from error


def _check_classes(pipeline: Any) -> None:  # noqa: ANN401 - as above
    if not hasattr(pipeline, "predict_proba"):
        raise ModelError(f"a {type(pipeline).__name__} has no predict_proba")
    if list(getattr(pipeline, "classes_", ())) not in ([False, True], ["No", "Yes"]):
        raise ModelError("its classes are not No and Yes, nor 0 and 1")
