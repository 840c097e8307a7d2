"""The contract as data: key, event time, label and columns of the records, and what a prediction repeats of them.

Descriptions are part of the JSON Schema, which editors show, and of the table in `docs/contract.md`.
"""

from typing import Annotated, Any, Literal, TypeAlias

from msgspec import Meta, Struct, field

MAX_FEATURES, MAX_CARRIED, MAX_SEGMENTS = 500, 100, 4
#: Values of one category; `rules` limits the values of all of them together.
MAX_VALUES = 5_000
#: Single precision holds larger numbers, but models compute with their powers.
LARGEST_NUMBER = 1e37
#: Double precision holds every whole number up to this one.
LARGEST_INTEGER = 2**53
#: Fields of a prediction that do not depend on the contract.
PREDICTION, PROCESSED_TS, MODEL_VERSION = "prediction", "processed_ts", "model_version"


def _limits(expected: str, **limits: Any) -> Meta:  # noqa: ANN401 - as msgspec
    """Return limits of a value, and what errors say is expected of it."""
    return Meta(extra={"expected": expected}, **limits)


#: Name of a column, on the wire and in a CSV. Error messages quote names with backticks, and msgspec cannot rename a
#: field to a name with quotes, backslashes or control characters. U+2028 and U+2029 separate lines.
Name = Annotated[
    str,
    _limits(
        "a name of 1 to 128 characters without double quotes, backticks, backslashes, tabs and line breaks",
        min_length=1,
        max_length=128,
        pattern=r'^[^\x00-\x1f\x7f-\x9f`"\\\u2028\u2029]+\Z',
    ),
]
Value = Annotated[str, _limits("a text of at most 256 characters", max_length=256)]
#: Words for use in a sentence, such as `customer`.
Noun = Annotated[
    str,
    _limits(
        "1 to 40 letters, digits, blanks and hyphens that begin with a letter",
        min_length=1,
        max_length=40,
        pattern=r"^[^\W\d_][\w -]*\Z",
    ),
]
Amount = Annotated[float, _limits("a number from -1e37 to 1e37, without quotes", ge=-LARGEST_NUMBER, le=LARGEST_NUMBER)]
Whole = Annotated[
    int,
    _limits(
        "a whole number from -2^53 to 2^53, without quotes or a decimal point", ge=-LARGEST_INTEGER, le=LARGEST_INTEGER
    ),
]

#: Name of a contract.
ContractName = Annotated[
    str,
    _limits(
        "1 to 63 lower-case letters, digits and hyphens that begin with a letter",
        pattern=r"^[a-z][a-z0-9-]{0,62}\Z",
    ),
]


class Column(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, tag_field="kind"):
    """A column of the records."""

    name: Annotated[Name, Meta(description="Name in the CSV and in the records.")]

    @property
    def kind(self) -> str:
        """Return the kind, as a contract's file has it."""
        return str(self.__struct_config__.tag)


class FeatureColumn(Column, frozen=True, kw_only=True, omit_defaults=True):
    """A column that a model can read."""

    nullable: Annotated[bool, Meta(description="Whether null and blank text are accepted.")] = False
    optional: Annotated[bool, Meta(description="Whether it may be absent, which means null; needs `nullable`.")] = False


class Number(FeatureColumn, frozen=True, tag="number", kw_only=True, omit_defaults=True):
    """A number in a range."""

    minimum: Annotated[Amount, Meta(description="Smallest number accepted.")]
    maximum: Annotated[Amount, Meta(description="Largest number accepted.")]
    fill: Annotated[
        Amount | None, Meta(description="Number that null counts as; without it, null is missing to the model.")
    ] = None


class Integer(FeatureColumn, frozen=True, tag="integer", kw_only=True, omit_defaults=True):
    """A whole number in a range."""

    minimum: Annotated[Whole, Meta(description="Smallest number accepted.")]
    maximum: Annotated[Whole, Meta(description="Largest number accepted.")]
    fill: Annotated[
        Whole | None, Meta(description="Number that null counts as; without it, null is missing to the model.")
    ] = None


class Boolean(FeatureColumn, frozen=True, tag="boolean", kw_only=True, omit_defaults=True):
    """True or false."""


class Category(FeatureColumn, frozen=True, tag="category", kw_only=True, omit_defaults=True):
    """One of several texts."""

    values: Annotated[
        tuple[Value, ...],
        Meta(
            min_length=1,
            max_length=MAX_VALUES,
            description="Texts accepted. Their order is part of the model, so append new ones.",
        ),
    ]
    other: Annotated[
        Value | None,
        Meta(description="Value that unknown texts count as; without it, they are rejected."),
    ] = None


class Text(Column, frozen=True, tag="text", kw_only=True, omit_defaults=True):
    """Any text. Predictions can carry it, but models cannot read it."""

    nullable: Annotated[bool, Meta(description="Whether null is accepted.")] = False
    optional: Annotated[bool, Meta(description="Whether it may be absent, which means null; needs `nullable`.")] = False
    max_length: Annotated[int, Meta(ge=1, le=100_000, description="Largest number of characters.")] = 1_000


Feature: TypeAlias = Number | Integer | Boolean | Category
Carried: TypeAlias = Number | Integer | Boolean | Category | Text


class Key(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Column that identifies whom a record is about; it is the key of the Kafka messages, as text."""

    name: Annotated[Name, Meta(description="Name of the key column.")]
    kind: Annotated[
        Literal["text", "integer"],
        Meta(description='With `integer`, 7, 7.0 and "7" are the same key.'),
    ] = "text"


class Time(Struct, frozen=True, forbid_unknown_fields=True):
    """Column with the time of the event, in RFC 3339."""

    name: Annotated[Name, Meta(description="Name of the time column; `produce` adds it if a CSV lacks it.")]


class Label(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Column that training learns from, its two values, and the names of the answer."""

    name: Annotated[Name, Meta(description="Name of the label column; only training reads it.")]
    positive: Annotated[Value, Meta(description="Value whose probability is predicted.")]
    negative: Annotated[Value, Meta(description="The other value.")]
    probability: Annotated[
        Name, Meta(description="Field of predictions with the probability of the positive value.")
    ] = "probability"
    verb: Annotated[Noun | None, Meta(description="Verb for the positive value, as in `expected to leave`.")] = None


class Contract(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Description of records, and of what the model and the predictions take from them."""

    contract: Annotated[
        Literal[1],
        _limits("1, the version of the format that this telco-stream reads", description="Version of this format."),
    ]
    name: Annotated[ContractName, Meta(description="Name of the contract, such as `credit-default`.")]
    key: Annotated[Key, Meta(description="Column that says whom a record is about; key of the messages.")]
    time: Annotated[Time, Meta(description="Column with the time of the event, in RFC 3339.")]
    label: Annotated[Label, Meta(description="Column that training learns from, and its two values.")]
    features: Annotated[
        tuple[Feature, ...],
        Meta(min_length=1, max_length=MAX_FEATURES, description="Columns that the model reads, in its order."),
    ]
    carry: Annotated[
        tuple[Carried | Name, ...],
        Meta(
            max_length=MAX_CARRIED,
            description="Names of features, and columns the model does not read, that predictions repeat.",
        ),
    ] = ()
    segments: Annotated[
        tuple[Name, ...],
        Meta(
            max_length=MAX_SEGMENTS,
            description="Categories and booleans that predictions repeat and reports group by.",
        ),
    ] = ()
    charge: Annotated[
        Name | None,
        Meta(description="Number that gives the revenue at risk in reports, if predictions repeat it."),
    ] = None
    missing: Annotated[
        tuple[Annotated[str, _limits("a text of at most 32 characters", max_length=32)], ...],
        Meta(max_length=32, description="Texts of a CSV that mean null besides blanks, such as `NA`."),
    ] = ()
    json_schema: Annotated[
        Annotated[str, Meta(max_length=2_000)] | None,
        Meta(description="Path or URL of the JSON Schema, for editors."),
    ] = field(name="$schema", default=None)
    entity: Annotated[Noun, Meta(description="What a key identifies, such as `customer`.")] = "record"
    entities: Annotated[Noun | None, Meta(description="Plural of `entity`, if an s does not make it.")] = None

    @property
    def plural(self) -> str:
        """The plural of the entity."""
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
