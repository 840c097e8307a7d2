"""The built-in contract, compiled, and what tests need of it."""

from typing import Any

from telco_stream.contract.document import builtin_contract
from telco_stream.contract.events import Event
from telco_stream.contract.rows import RowCodec
from telco_stream.csv.validation import CsvFormat
from telco_stream.messages.codec import compile_contract
from telco_stream.messages.prediction import Prediction

CONTRACT = builtin_contract()
CODEC = compile_contract(builtin_contract())
FORMAT = CsvFormat(CONTRACT)
FEATURES = tuple(feature.name for feature in CONTRACT.features)
#: Columns of the public data set, in the order of its file.
COLUMNS = (CONTRACT.key.name, *FEATURES, CONTRACT.label.name)
NUMBERS = tuple(feature.name for feature in CONTRACT.numbers)
CATEGORIES = {category.name: category.values for category in CONTRACT.categories}

encode_row = RowCodec(CONTRACT, COLUMNS).encode
decode = CODEC.events.decode
explain = CODEC.events.explain


def value_of(event: Event, name: str) -> Any:
    """Return the value of a column as a prediction would repeat it."""
    return CODEC.events.values(name, [event])[0]


def make_prediction(**fields: Any) -> Prediction:
    """Return a prediction with these fields, by their names on the wire."""
    attributes = CODEC.predictions.attributes
    prediction: Prediction = CODEC.predictions.type(**{attributes[name]: value for name, value in fields.items()})
    return prediction


def prediction_of(*values: Any) -> Prediction:
    """Return a prediction with these values, in the order of its fields on the wire."""
    prediction: Prediction = CODEC.predictions.type(*values)
    return prediction
