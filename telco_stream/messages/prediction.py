"""The predictions topic."""

from typing import Literal

import msgspec


class Prediction(msgspec.Struct, gc=False, frozen=True):
    """The answer to one customer event; `event_ts` is the event's own, verbatim."""

    customerID: str
    churn_probability: float
    prediction: Literal["Yes", "No"]
    event_ts: str
    processed_ts: str
    model_version: str
    Contract: str
    InternetService: str


encode_prediction = msgspec.json.Encoder().encode
decode_prediction = msgspec.json.Decoder(Prediction).decode
