"""The contract as data: key, event time, label and columns of the records, and what a prediction repeats of them."""

from typing import Annotated, Literal, TypeAlias

from msgspec import Meta, Struct, field

MAX_FEATURES, MAX_CARRIED, MAX_SEGMENTS = 500, 100, 4
#: Values of one category; `rules` limits the values of all of them together.
MAX_VALUES = 5_000
#: Fields of a prediction that do not depend on the contract.
PREDICTION, PROCESSED_TS, MODEL_VERSION = "prediction", "processed_ts", "model_version"

#: Name of a column, on the wire and in a CSV. Error messages quote names with backticks, and msgspec cannot rename a
#: field to a name with quotes, backslashes or control characters. U+2028 and U+2029 separate lines.
Name = Annotated[str, Meta(min_length=1, max_length=128, pattern=r'^[^\x00-\x1f\x7f-\x9f`"\\\u2028\u2029]+\Z')]
Value = Annotated[str, Meta(max_length=256)]
#: Words as they stand in a sentence, such as `customer`.
Noun = Annotated[str, Meta(pattern=r"^[^\W\d_][\w -]{0,39}\Z")]

#: Name of a contract.
ContractName = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9-]{0,62}\Z")]


class Column(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, tag_field="kind"):
    """A column of the records."""

    name: Name


class FeatureColumn(Column, frozen=True, kw_only=True, omit_defaults=True):
    """A column that a model can read."""

    #: Whether null and blank text are accepted.
    nullable: bool = False
    #: Whether the field may be absent, which is the same as null.
    optional: bool = False


class Number(FeatureColumn, frozen=True, tag="number", kw_only=True, omit_defaults=True):
    """A number in a range; `fill` is the number that null stands for, NaN if it is None."""

    minimum: float
    maximum: float
    fill: float | None = None


class Integer(FeatureColumn, frozen=True, tag="integer", kw_only=True, omit_defaults=True):
    """A whole number in a range; `fill` as in `Number`."""

    minimum: int
    maximum: int
    fill: int | None = None


class Boolean(FeatureColumn, frozen=True, tag="boolean", kw_only=True, omit_defaults=True):
    """True or false."""


class Category(FeatureColumn, frozen=True, tag="category", kw_only=True, omit_defaults=True):
    """One of several texts. Their order is part of the model, which reads positions."""

    values: Annotated[tuple[Value, ...], Meta(min_length=1, max_length=MAX_VALUES)]
    #: Value that unknown texts count as; if it is None, a record with one becomes a dead letter.
    other: Value | None = None


class Text(Column, frozen=True, tag="text", kw_only=True, omit_defaults=True):
    """Any text. Predictions can carry it, but models cannot read it."""

    nullable: bool = False
    optional: bool = False
    max_length: Annotated[int, Meta(ge=1, le=100_000)] = 1_000


Feature: TypeAlias = Number | Integer | Boolean | Category
Carried: TypeAlias = Number | Integer | Boolean | Category | Text


class Key(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Column that identifies whom a record is about; it is the key of the Kafka messages, as text."""

    name: Name
    kind: Literal["text", "integer"] = "text"


class Time(Struct, frozen=True, forbid_unknown_fields=True):
    """Column with the time of the event, as in RFC 3339."""

    name: Name


class Label(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Column that training learns from, its two values, and the names of the answer."""

    name: Name
    positive: Value
    negative: Value
    #: Field of a prediction that holds the probability of the positive value.
    probability: Name = "probability"
    #: Verb for the positive value, such as `leave` in `expected to leave`.
    verb: Noun | None = None


class Contract(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What a record holds, and what the model and the predictions take from it."""

    contract: Literal[1]
    name: ContractName
    key: Key
    time: Time
    label: Label
    features: Annotated[tuple[Feature, ...], Meta(min_length=1, max_length=MAX_FEATURES)]
    #: What predictions repeat: names of features, and columns that the model does not read.
    carry: Annotated[tuple[Carried | Name, ...], Meta(max_length=MAX_CARRIED)] = ()
    #: Categories and booleans that predictions repeat and reports group by.
    segments: Annotated[tuple[Name, ...], Meta(max_length=MAX_SEGMENTS)] = ()
    #: Number that reports multiply by the probability: the revenue at risk.
    charge: Name | None = None
    #: Texts of a CSV that stand for null, besides blanks.
    missing: Annotated[tuple[Annotated[str, Meta(max_length=32)], ...], Meta(max_length=32)] = ()
    #: Address of the JSON Schema, for editors.
    json_schema: str | None = field(name="$schema", default=None)
    #: What a key identifies, in the singular and in the plural.
    entity: Noun = "record"
    entities: Noun | None = None

    @property
    def plural(self) -> str:
        """What several keys identify."""
        return self.entities or f"{self.entity}s"

    @property
    def carried_columns(self) -> tuple[Carried, ...]:
        """Columns that predictions repeat and the model does not read."""
        return tuple(column for column in self.carry if not isinstance(column, str))

    @property
    def columns(self) -> tuple[Carried, ...]:
        """Columns of a record, in the order of the file, without key and time."""
        return (*self.features, *self.carried_columns)

    @property
    def repeated(self) -> tuple[str, ...]:
        """Names of the columns that a prediction repeats, segments first."""
        carried = (column if isinstance(column, str) else column.name for column in self.carry)
        return tuple(dict.fromkeys([*self.segments, *carried]))

    @property
    def numbers(self) -> tuple[Number | Integer | Boolean, ...]:
        """Features that a model reads as numbers."""
        return tuple(feature for feature in self.features if not isinstance(feature, Category))

    @property
    def categories(self) -> tuple[Category, ...]:
        """Features that a model reads as codes."""
        return tuple(feature for feature in self.features if isinstance(feature, Category))
