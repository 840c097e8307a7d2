"""Messages of the predictions topic: their fields are named by the contract."""

from collections.abc import Callable, Iterable
from typing import Any, Literal

import msgspec

from telco_stream.contract.schema import Boolean, Carried, Category, Contract, Integer, Number, Text


class Prediction(msgspec.Struct, gc=False, frozen=True):
    """Answer to one event; `event_ts` is copied from the event verbatim.

    The type that `PredictionCodec` makes of it has the names of the contract on the wire, and a field more for each
    column that predictions repeat.
    """

    key: str
    probability: float
    prediction: str
    event_ts: str
    processed_ts: str
    model_version: str


encode_prediction = msgspec.json.Encoder().encode


class PredictionCodec:
    """Type and decoder of the predictions of one contract."""

    def __init__(self, contract: Contract, extra: Iterable[str] = ()) -> None:
        """Compile the contract; `extra` columns, which other programs may add, are decoded too, and None if missing."""
        self.contract = contract
        own = _own_names(contract)
        repeated = {name: f"repeated_{number}" for number, name in enumerate(contract.repeated)}
        others = [name for name in dict.fromkeys(extra) if name not in own and name not in repeated]
        #: Attribute of a prediction by the name on the wire.
        self.attributes = own | repeated | {name: f"extra_{number}" for number, name in enumerate(others)}
        #: Names on the wire, in their order.
        self.names = (*own, *repeated)
        label = contract.label
        types: dict[str, Any] = {"probability": float, "prediction": Literal[label.positive, label.negative]}
        fields: list[Any] = [(field, types.get(field, str), msgspec.field(name=name)) for name, field in own.items()]
        columns = {column.name: column for column in contract.columns}
        fields += [(field, _type(columns[name]), msgspec.field(name=name)) for name, field in repeated.items()]
        fields += [(self.attributes[name], Any, msgspec.field(name=name, default=None)) for name in others]
        self.type: Any = msgspec.defstruct("Prediction", fields, bases=(Prediction,), frozen=True, gc=False)
        #: Decode a prediction; raises a ValueError if the value is not one.
        self.decode: Callable[[bytes], Any] = msgspec.json.Decoder(self.type).decode


def _type(column: Carried) -> Any:  # noqa: ANN401 - an annotation
    """Return the type of a repeated column; a category's null is an empty text."""
    kinds: dict[type, Any] = {Number: float, Integer: int, Boolean: bool, Category: str, Text: str}
    kind = kinds[type(column)]
    return kind | None if column.nullable and not isinstance(column, Category) else kind


def _own_names(contract: Contract) -> dict[str, str]:
    """Return the attribute of each field that is not a repeated column, by its name on the wire, in their order."""
    names = {"key": contract.key.name, "probability": contract.label.probability, "event_ts": contract.time.name}
    return {names.get(field, field): field for field in Prediction.__struct_fields__}
