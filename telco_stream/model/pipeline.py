"""The model: one scikit-learn pipeline that includes all preprocessing.

It was chosen by measurement among pipelines that skl2onnx can convert (`models/README.md`). Numbers are clipped to the
range of the training data, because a cubic grows without bound outside it. They are scaled to -1..1 rather than 0..1,
so that the terms are nearly uncorrelated, the coefficients small, and single precision suffices.
"""

from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import MinMaxScaler, OneHotEncoder, PolynomialFeatures

from telco_stream.contract.customer import CATEGORIES, NUMBERS

#: Number that is only 0 or 1, so it has only one coefficient.
_FLAG = "SeniorCitizen"
_DEGREE = 3


def build_pipeline() -> Pipeline:
    """Build the unfitted pipeline, from a data frame of the features to the probabilities of No and Yes."""
    curves = make_pipeline(
        # Only customers who have not been billed yet have no TotalCharges: they have paid nothing.
        SimpleImputer(strategy="constant", fill_value=0.0),
        MinMaxScaler((-1, 1), clip=True),
        PolynomialFeatures(_DEGREE, include_bias=False),
    )
    categories = [list(values) for values in CATEGORIES.values()]
    columns = ColumnTransformer(
        [
            ("curves", curves, [name for name in NUMBERS if name != _FLAG]),
            ("flag", "passthrough", [_FLAG]),
            ("categories", OneHotEncoder(categories=categories, sparse_output=False), list(CATEGORIES)),
        ]
    )
    # This solver needs the fewest iterations for few columns, and is deterministic.
    return Pipeline([("columns", columns), ("classifier", LogisticRegression(solver="newton-cholesky"))])
