"""Messages of the predictions topic."""

from typing import Final

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
