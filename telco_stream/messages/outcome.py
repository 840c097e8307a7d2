"""Messages of the outcomes topic: what came of the predictions, in the fields of the contract."""

from collections.abc import Callable
from typing import Any, Literal

import msgspec

from telco_stream.contract.schema import Contract


class Outcome(msgspec.Struct, gc=False, frozen=True):
    """Outcome of a prediction: the value of the label, and the time at which it was known."""

    key: str
    label: str
    time: str


class OutcomeCodec:
    """Type and decoder of the outcomes of one contract."""

    def __init__(self, contract: Contract) -> None:
        label = contract.label
        columns: list[tuple[str, Any, str]] = [
            ("key", str | int, contract.key.name),
            ("label", Literal[label.positive, label.negative], label.name),
            ("time", str, contract.time.name),
        ]
        fields: list[Any] = [(field, kind, msgspec.field(name=name)) for field, kind, name in columns]
        made = msgspec.defstruct("Outcome", fields, bases=(Outcome,), frozen=True, gc=False)
        #: Decode an outcome; raises a ValueError if the value is not one.
        self.decode: Callable[[bytes], Any] = msgspec.json.Decoder(made).decode
