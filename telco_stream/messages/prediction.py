"""Messages of the predictions topic."""

from collections.abc import Callable, Iterable
from typing import Any, Final, cast

import msgspec

from telco_stream.contract.customer import YesNo

#: The two values of `Prediction.prediction`.
CHURN: Final = "Yes"
NO_CHURN: Final = "No"


class Prediction(msgspec.Struct, gc=False, frozen=True):
    """Answer to one customer event; `event_ts` is copied from the event verbatim."""

    customerID: str
    churn_probability: float
    prediction: YesNo
    event_ts: str
    processed_ts: str
    model_version: str
    Contract: str
    InternetService: str


encode_prediction = msgspec.json.Encoder().encode
decode_prediction = msgspec.json.Decoder(Prediction).decode


class CarryingPrediction(Prediction, gc=False, frozen=True):
    """Prediction with the charge of its customer, if another program's predictions carry it."""

    MonthlyCharges: Any = None


def carrying_decoder(columns: Iterable[str]) -> tuple[Callable[[bytes], Prediction], dict[str, str]]:
    """Return a decoder that also reads these columns, and the attribute that holds each; a missing column is None."""
    fields = CarryingPrediction.__struct_fields__
    attributes = {column: column if column in fields else f"column_{n}" for n, column in enumerate(columns)}
    names = {attribute: column for column, attribute in attributes.items() if column not in fields}
    kind = msgspec.defstruct(
        "ExtendedPrediction",
        [(attribute, Any, None) for attribute in names],
        bases=(CarryingPrediction,),
        rename=names,
        frozen=True,
        gc=False,
    )
    return msgspec.json.Decoder(cast("type[Prediction]", kind)).decode, attributes
