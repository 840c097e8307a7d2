"""scikit-learn engine: runs the pipeline as it was trained."""

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from io import BytesIO
from math import isnan, nan
from pickle import UnpicklingError
from typing import Any
from zipfile import BadZipFile

import joblib
import numpy as np
import pandas as pd
import sklearn
from sklearn.exceptions import InconsistentVersionWarning

from telco_stream.contract.events import Event, EventCodec
from telco_stream.contract.schema import Category
from telco_stream.errors import ModelError
from telco_stream.messages.codec import Codec
from telco_stream.model.features import category_texts, feature_table
from telco_stream.model.manifest import RETRAIN
from telco_stream.model.reasons.explainer import Explainer
from telco_stream.model.scorer import call_model, check_probabilities, positive_position

#: Exceptions of `pickle` for invalid bytes; missing libraries raise others.
_BROKEN_PICKLE = (UnpicklingError, EOFError, KeyError, IndexError, TypeError, ValueError)
#: Rows are filled up to a multiple of this number: matrix libraries, which process several rows at a time, add the
#: products of the remaining rows in another order, which gives other bits.
_ROWS = 16
#: Types in files of skops that hold data only, besides those that skops trusts itself.
_TRUSTED = [
    "numpy.dtype",
    "sklearn.calibration._CalibratedClassifier",
    "sklearn.calibration._SigmoidCalibration",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
    "sklearn.tree._tree.Tree",
    "sklearn.utils._bunch.Bunch",
]
_BROKEN_SKOPS = (*_BROKEN_PICKLE, AttributeError, ImportError, BadZipFile)
SKLEARN_VERSION: str = sklearn.__version__


@dataclass(frozen=True, slots=True)
class SklearnScorer:
    """Scorer that runs a scikit-learn model; `positive` is the position of the positive label among its classes.

    The model takes the named columns, or all, and categories as texts or as pandas categories. `null` is what it takes
    for null in them, None or NaN.
    """

    version: str
    threshold: float
    pipeline: Any
    codec: Codec
    columns: tuple[str, ...] | None = None
    has_pandas_categories: bool = False
    null: float | None = None
    positive: int = 1
    engine: str = "sklearn"
    explainer: Explainer | None = None

    def score(self, events: Sequence[Event]) -> list[float]:
        """Return the probability of each event, in their order; raise ScoringError if the model fails."""
        rows = [*events, *list(events[-1:]) * (-len(events) % _ROWS)]
        probabilities = call_model("sklearn", self.predict, rows)
        scores: list[float] = probabilities[: len(events), self.positive].tolist()
        return scores

    def predict(self, events: Sequence[Event]) -> Any:  # noqa: ANN401 - an array of any type
        """Return what the model returns for these events."""
        table = frame(self.codec.events, events, self.null, has_pandas_categories=self.has_pandas_categories)
        return self.pipeline.predict_proba(table if self.columns is None else table[list(self.columns)])


def frame(
    codec: EventCodec, events: Sequence[Event], null: float | None = None, *, has_pandas_categories: bool = False
) -> pd.DataFrame:
    """Build the input of a model: a row per event, a column per feature.

    Categories are texts, `null` for null, or pandas categories of these texts.
    """
    table, columns = feature_table(codec, events), {}
    for position, feature in enumerate(codec.contract.features):
        column = table[:, position]
        if not isinstance(feature, Category):
            columns[feature.name] = pd.Series(column)
            continue
        known = category_texts(codec, feature)
        texts = np.array([null if text is None else text for text in known], object)[column.astype(np.intp)]
        values = [text for text in known if text is not None]
        dtype: Any = pd.CategoricalDtype(values) if has_pandas_categories else object
        columns[feature.name] = pd.Series(texts, dtype=dtype)
    return pd.DataFrame(columns)


def load_sklearn(pickled: bytes, codec: Codec, *, version: str, threshold: float) -> SklearnScorer:
    """Create the scorer from the verified bytes of a pickle; raise ModelError if it cannot be loaded or used here."""
    return _adapted(unpickle(pickled), codec, version, threshold)


def load_skops(content: bytes, codec: Codec, *, version: str, threshold: float) -> SklearnScorer:
    """Create the scorer from the verified bytes of a skops file; raise ModelError as `load_sklearn` does."""
    return _adapted(read_skops(content), codec, version, threshold)


def _adapted(model: Any, codec: Codec, version: str, threshold: float) -> SklearnScorer:  # noqa: ANN401 - of any type
    try:
        return adapt(model, codec, version=version, threshold=threshold)
    except ModelError as error:
        raise ModelError(f"The pipeline can't be used: {error}; {RETRAIN}") from error


def unpickle(pickled: bytes) -> Any:  # noqa: ANN401 - an object of any type
    """Load a pickle, which can run any code; raise ModelError if that fails."""
    with warnings.catch_warnings():
        # Major and minor version have been compared; another patch level is harmless.
        warnings.simplefilter("ignore", InconsistentVersionWarning)
        try:
            return joblib.load(BytesIO(pickled))
        except _BROKEN_PICKLE as error:
            raise ModelError(f"The model can't be unpickled ({type(error).__name__}): {RETRAIN}") from error
        except (AttributeError, ImportError) as error:
            raise ModelError(
                f"The model needs other versions of its libraries ({error}): install those in its manifest"
            ) from error


def read_skops(content: bytes) -> Any:  # noqa: ANN401 - an object of any type
    """Load a skops file that holds only types that are known to be data; raise ModelError if that fails."""
    import skops.io  # noqa: PLC0415 - only such a file needs it

    try:
        return skops.io.loads(content, trusted=_TRUSTED)
    except skops.io.exceptions.UntrustedTypesFoundException as error:
        raise ModelError(f"it holds types that may run code: {str(error).partition(chr(10))[0]}") from error
    except _BROKEN_SKOPS as error:
        raise ModelError(f"skops can't load it ({type(error).__name__}): {error}") from error


def adapt(model: Any, codec: Codec, *, version: str = "", threshold: float = 0.5) -> SklearnScorer:  # noqa: ANN401 - of any type
    """Create the scorer of a fitted model: find its columns, and how it takes categories and returns the labels.

    Raise ModelError unless it returns the probabilities of both labels for each event.
    """
    if not hasattr(model, "predict_proba"):
        raise ModelError(f"a {type(model).__name__} has no predict_proba")
    names, features = _column_names(model), {feature.name for feature in codec.contract.features}
    unknown = [name for name in names if name not in features]
    columns = tuple(name for name in names if name in features) or None
    positive = positive_position(getattr(model, "classes_", ()), codec.contract.label)
    null = nan if any(map(knows_nan, _parts(model))) else None
    scorer = SklearnScorer(version, threshold, model, codec, columns, null=null, positive=positive)
    try:
        return _check_forms(scorer)
    except ModelError:
        if not unknown:
            raise
        raise ModelError(f"it reads columns that the contract does not have: {', '.join(unknown)}") from None


def _check_forms(scorer: SklearnScorer) -> SklearnScorer:
    """Return the scorer that takes categories as texts if that works, or else as pandas categories."""
    try:
        check_probabilities(scorer.codec.events, scorer.predict)
    except ModelError:
        with_categories = replace(scorer, has_pandas_categories=True)
        try:
            check_probabilities(scorer.codec.events, with_categories.predict)
        except ModelError:
            pass
        else:
            return with_categories
        raise
    return scorer


def _parts(model: Any) -> Iterator[Any]:  # noqa: ANN401 - as above
    """Yield a model and all fitted steps inside of it."""
    yield model
    inside = [step for _, step in getattr(model, "steps", ())]
    inside += [step for _, step, _ in getattr(model, "transformers_", ())]
    for step in inside:
        yield from _parts(step)


def knows_nan(step: Any) -> bool:  # noqa: ANN401 - as above
    """Return whether an encoder was fitted to NaN as a value of a category, as pandas reads null."""
    values = (value for known in getattr(step, "categories_", ()) for value in known)
    return any(isinstance(value, float) and isnan(value) for value in values)


def _column_names(model: Any) -> list[str]:  # noqa: ANN401 - as above
    """Return the names of the columns that a model was fitted to; none if it was fitted to an array."""
    try:
        return list(map(str, model.feature_names_in_))
    except AttributeError:  # also of properties of models that are not fitted
        return []
