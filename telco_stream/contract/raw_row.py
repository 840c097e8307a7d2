"""The raw topic from the producer's side: a row of the CSV, judged by its form only, on its way to JSON."""

from collections.abc import Sequence

import msgspec
from msgspec import Raw


class Row(msgspec.Struct, frozen=True, gc=False):
    """One row of the CSV, in the public data set's columns; a number is kept as the text that JSON will carry."""

    customerID: str
    gender: str
    SeniorCitizen: Raw
    Partner: str
    Dependents: str
    tenure: Raw
    PhoneService: str
    MultipleLines: str
    InternetService: str
    OnlineSecurity: str
    OnlineBackup: str
    DeviceProtection: str
    TechSupport: str
    StreamingTV: str
    StreamingMovies: str
    Contract: str
    PaperlessBilling: str
    PaymentMethod: str
    MonthlyCharges: Raw
    TotalCharges: Raw
    Churn: str

    @property
    def key(self) -> str:
        """The record's key."""
        return self.customerID


_encode = msgspec.json.Encoder().encode
_decode_numbers = msgspec.json.Decoder(list[float]).decode


def make_rows(columns: Sequence[Sequence[str]]) -> list[Row]:
    """Rows from the 21 columns in the public order; the number columns hold JSON numbers or `null`."""
    hints = Row.__annotations__.values()
    return list(
        map(Row, *(map(Raw, column) if hint is Raw else column for column, hint in zip(columns, hints, strict=True)))
    )


def encode_row(row: Row, event_ts: str) -> bytes:
    """The row as the raw topic's value; `event_ts` is RFC 3339 in UTC and needs no escape."""
    return _encode(row)[:-1] + f',"event_ts":"{event_ts}"}}'.encode()


def are_json_numbers(texts: Sequence[str]) -> bool:
    """Whether each text is one finite JSON number; all are judged in one pass, at some 50 ns each."""
    try:
        return len(_decode_numbers(f"[{','.join(texts)}]")) == len(texts)
    except msgspec.MsgspecError:
        return False
