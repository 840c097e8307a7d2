"""The model: one scikit-learn pipeline that holds all preprocessing.

Chosen by measurement among pipelines that skl2onnx can compile (`models/README.md`). A cubic runs away beyond the
training range, so the numbers are clipped to it first; scaled to -1..1 rather than 0..1, its terms are nearly
uncorrelated, the coefficients stay small, and single precision suffices.
"""

from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import MinMaxScaler, OneHotEncoder, PolynomialFeatures

from telco_stream.contract.customer import CATEGORIES, NUMBERS

#: A number, but yes or no by its meaning: there is no curve to fit.
_FLAG = "SeniorCitizen"
_DEGREE = 3


def build_pipeline() -> Pipeline:
    """Not fitted; takes a frame of the contract's features, and gives the probabilities of No and Yes."""
    curves = make_pipeline(
        # Only customers who have not been billed yet lack a TotalCharges: they have paid nothing.
        SimpleImputer(strategy="constant", fill_value=0.0),
        MinMaxScaler((-1, 1), clip=True),
        PolynomialFeatures(_DEGREE, include_bias=False),
    )
    known = [list(values) for values in CATEGORIES.values()]
    columns = ColumnTransformer(
        [
            ("curves", curves, [name for name in NUMBERS if name != _FLAG]),
            ("flag", "passthrough", [_FLAG]),
            ("categories", OneHotEncoder(categories=known, sparse_output=False), list(CATEGORIES)),
        ]
    )
    # Of the solvers the one that takes the fewest steps for few columns, and no random start.
    return Pipeline([("columns", columns), ("classifier", LogisticRegression(solver="newton-cholesky"))])
