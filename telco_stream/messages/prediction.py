"""Messages of the predictions topic: their fields are named by the contract."""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import msgspec
from msgspec import UNSET, UnsetType

from telco_stream.contract.schema import Boolean, Carried, Category, Contract, Integer, Number, Text
from telco_stream.messages.headers import parse_position, source_of
from telco_stream.messages.record import Record


class Reason(msgspec.Struct, gc=False, frozen=True):
    """Contribution of a feature to the logit of a probability, relative to the prediction's `base`.

    `value` is the event's, and absent unless it was asked for.
    """

    feature: str
    contribution: float
    value: Any = UNSET

    @property
    def label(self) -> str:
        """The feature, after + or - for its direction."""
        return f"{'+' if self.contribution >= 0 else '-'}{self.feature}"

    @property
    def has_value(self) -> bool:
        """Whether the value was asked for."""
        return self.value is not UNSET

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as they are on the wire."""
        fields: dict[str, Any] = msgspec.to_builtins(self)
        return fields


class Prediction(msgspec.Struct, gc=False, frozen=True):
    """Answer to one event; `event_ts` is copied from the event verbatim.

    The type that `PredictionCodec` makes of it has the names of the contract on the wire, and a field more for each
    column that predictions repeat. The fields of `OPTIONAL` are None in types that lack them.
    """

    key: str
    probability: float
    prediction: str
    event_ts: str
    processed_ts: str
    model_version: str

    control: ClassVar[bool | UnsetType | None] = None
    base: ClassVar[float | UnsetType | None] = None
    reasons: ClassVar[tuple[Reason, ...] | msgspec.Raw | UnsetType | None] = None
    reasons_approximate: ClassVar[bool | UnsetType | None] = None


#: Field of predictions whose key belongs to the holdout.
CONTROL = "control"
#: Mean logit of the baseline, and the largest contributions to that of the prediction.
BASE, REASONS = "base", "reasons"
#: Field of predictions whose reasons are not exact contributions.
APPROXIMATE = "reasons_approximate"
#: Fields that predictions have only where an option asks for them, with their types. Booleans are true or absent.
OPTIONAL: dict[str, Any] = {CONTROL: bool, BASE: float, REASONS: tuple[Reason, ...] | msgspec.Raw, APPROXIMATE: bool}
#: What follows the name of a main reason that is approximate.
APPROXIMATE_MARK = " (approximate)"
#: Number of parts of the keys, one of which is the smallest holdout: 0.01 %.
_PARTS = 10_000


@dataclass(frozen=True, slots=True)
class Holdout:
    """Keys that are not contacted, `percent` of all of them; a key stays on its side, and a larger holdout keeps it.

    The hash is independent of the CRC that selects the keys of a canary.
    """

    percent: float

    def takes(self, key: str) -> bool:
        """Return whether the key belongs to the holdout."""
        digest = hashlib.blake2b(key.encode(), digest_size=8, person=b"holdout").digest()
        return int.from_bytes(digest) % _PARTS < self.percent * 100

    def marks(self, keys: Iterable[str]) -> list[bool | UnsetType]:
        """Return the field `control` of each key's prediction."""
        return [True if self.takes(key) else UNSET for key in keys]


_decode_reasons = msgspec.json.Decoder(tuple[Reason, ...]).decode


def reasons_of(prediction: Prediction) -> tuple[Reason, ...]:
    """Return the reasons of a prediction; none if the field is missing, or written by another program."""
    if isinstance(prediction.reasons, tuple):
        return prediction.reasons
    if isinstance(prediction.reasons, msgspec.Raw):
        return _decode_reasons(prediction.reasons)
    if not isinstance(prediction.reasons, list):
        return ()
    try:
        return msgspec.convert(prediction.reasons, tuple[Reason, ...])
    except msgspec.ValidationError:
        return ()


def main_reason(prediction: Prediction, *, flagged: bool) -> Reason | None:
    """Return the reason with the largest effect; of a flagged prediction the largest one that raises the probability.

    If none of its reasons raises it, return the largest one; None without reasons.
    """
    reasons = reasons_of(prediction)
    raising = (reason for reason in reasons if flagged and reason.contribution > 0)
    return next(raising, reasons[0] if reasons else None)


def main_reason_label(prediction: Prediction) -> str | None:
    """Return the main reason of a flagged prediction as text; None without reasons."""
    main = main_reason(prediction, flagged=True)
    mark = APPROXIMATE_MARK if prediction.reasons_approximate is True else ""
    return f"{main.label}{mark}" if main else None


encode_prediction = msgspec.json.Encoder().encode


class PredictionCodec:
    """Type and decoder of the predictions of one contract."""

    def __init__(self, contract: Contract, extra: Iterable[str] = ()) -> None:
        """Compile the contract; `extra` columns are decoded too, whatever they hold, and None if missing.

        They are fields of `OPTIONAL`, or those that other programs may add.
        """
        self.contract = contract
        own = _own_names(contract)
        repeated = {name: f"repeated_{number}" for number, name in enumerate(contract.repeated)}
        others = [name for name in dict.fromkeys(extra) if name not in own and name not in repeated]
        #: Attribute of a prediction by the name on the wire.
        self.attributes = (
            own
            | repeated
            | {name: name if name in OPTIONAL else f"extra_{number}" for number, name in enumerate(others)}
        )
        #: Names on the wire, in their order.
        self.names = (*own, *repeated)
        label = contract.label
        types: dict[str, Any] = {"probability": float, "prediction": Literal[label.positive, label.negative]}
        fields: list[Any] = [(field, types.get(field, str), msgspec.field(name=name)) for name, field in own.items()]
        columns = {column.name: column for column in contract.columns}
        fields += [(field, _type(columns[name]), msgspec.field(name=name)) for name, field in repeated.items()]
        fields += [(self.attributes[name], Any, msgspec.field(name=name, default=None)) for name in others]
        self._extended: dict[tuple[str, ...], Any] = {}
        self.type: Any = msgspec.defstruct("Prediction", fields, bases=(Prediction,), frozen=True, gc=False)
        #: Decode a prediction; raises a ValueError if the value is not one.
        self.decode: Callable[[bytes], Any] = msgspec.json.Decoder(self.type).decode

    def type_with(self, optional: Sequence[str]) -> Any:  # noqa: ANN401 - a type made at run time
        """Return the type that has these fields of `OPTIONAL` too; a field that is `UNSET` is absent on the wire.

        None of them may have the name of another field: see `attributes`.
        """
        if not optional:
            return self.type
        names = tuple(optional)
        if names not in self._extended:
            fields: list[Any] = [(name, OPTIONAL[name] | UnsetType, UNSET) for name in names]
            made = msgspec.defstruct("Prediction", fields, bases=(self.type,), frozen=True, gc=False)
            self._extended[names] = made
        return self._extended[names]


class _Versioned(msgspec.Struct):
    model_version: str


_decode_version = msgspec.json.Decoder(_Versioned).decode


def version_of(prediction: Record) -> str | None:
    """Return the model version that a prediction of any contract names, or None if it is not one."""
    try:
        return _decode_version(prediction.value() or b"").model_version
    except (ValueError, RecursionError):
        return None


def newest_versions(predictions: Iterable[Record], raw_topic: str) -> dict[int, tuple[int, str]]:
    """Return the newest answered record's offset, and the version that answered it, by partition of the raw topic."""
    newest: dict[int, tuple[int, str]] = {}
    for prediction in predictions:
        source, version = parse_position(source_of(prediction)[0]), version_of(prediction)
        if source is not None and source.topic == raw_topic and version is not None:
            answer = (source.offset, version)
            newest[source.partition] = max(newest.get(source.partition, answer), answer)
    return newest


def _type(column: Carried) -> Any:  # noqa: ANN401 - an annotation
    """Return the type of a repeated column; a category's null is an empty text."""
    kinds: dict[type, Any] = {Number: float, Integer: int, Boolean: bool, Category: str, Text: str}
    kind = kinds[type(column)]
    return kind | None if column.nullable and not isinstance(column, Category) else kind


def _own_names(contract: Contract) -> dict[str, str]:
    """Return the attribute of each field that is not a repeated column, by its name on the wire, in their order."""
    names = {"key": contract.key.name, "probability": contract.label.probability, "event_ts": contract.time.name}
    return {names.get(field, field): field for field in Prediction.__struct_fields__}
