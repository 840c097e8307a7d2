import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telco_stream.contract.customer import (
    BAD_DATA,
    CATEGORIES,
    COLUMNS,
    FEATURES,
    NUMBERS,
    Customer,
    decode_customer,
    explain,
)
from telco_stream.contract.error_type import ErrorType
from tests.support.records import GOOD, POISON, STRANGE, good, raw


@pytest.mark.parametrize(("value", "reason"), [(one[1], one[2:]) for one in POISON], ids=[one[0] for one in POISON])
def test_poison_is_refused_with_a_reason_that_names_the_field(
    value: bytes | None, reason: tuple[str, str, str]
) -> None:
    error_type, code, words = reason
    told = why_not(value)
    assert told is not None
    assert told[:2] == (error_type, code)
    assert words in told[2]


@pytest.mark.parametrize("value", [one[1] for one in STRANGE], ids=[one[0] for one in STRANGE])
def test_what_looks_odd_is_accepted(value: bytes) -> None:
    assert why_not(value) is None


def test_a_customer_comes_out_as_it_went_in() -> None:
    customer = decode_customer(good())
    read = (*FEATURES, "customerID", "event_ts")
    assert {name: getattr(customer, name) for name in read} == {name: GOOD[name] for name in read}


def test_the_last_of_a_repeated_field_counts() -> None:
    assert decode_customer(good()[:-1] + b',"tenure":5,"tenure":6}').tenure == 6
    assert decode_customer(b'{"tenure":"x",' + good()[1:]).tenure == 1


@pytest.mark.parametrize("blank", [None, "", " ", "\t \n"])
@pytest.mark.parametrize("tenure", [0, 1, 1000])
def test_a_blank_total_is_not_a_number_at_any_tenure(blank: str | None, tenure: int) -> None:
    assert math.isnan(decode_customer(good(TotalCharges=blank, tenure=tenure)).TotalCharges)  # type: ignore[arg-type]


@pytest.mark.parametrize("text", ["0", "12.5", "-0", "1e2", "1E+2", "0.5e-3", "10000000"])
@pytest.mark.parametrize("name", ["MonthlyCharges", "TotalCharges"])
def test_text_that_is_a_json_number_is_that_number(name: str, text: str) -> None:
    if name == "TotalCharges" or float(text) <= 10_000:
        assert getattr(decode_customer(good(**{name: text})), name) == float(text)


@given(st.sampled_from(sorted(CATEGORIES)), st.text(min_size=6))
def test_a_reason_never_quotes_the_customer(name: str, text: str) -> None:
    """Nor does it grow with the value: the reason is all that a log would show."""
    secret = f"«{text}»"
    for field in (name, "event_ts", "tenure", "MonthlyCharges", "TotalCharges"):
        told = why_not(good(**{field: secret}))
        assert told is not None
        assert "«" not in told[2]
        assert len(told[2]) < 120


def test_a_value_with_the_words_of_a_reason_does_not_pose_as_one() -> None:
    assert why_not(good(Partner="x - at `$.secret`")) == (
        "validation",
        "unknown_category",
        "Unknown category - at `$.Partner`",
    )


def test_no_depth_is_too_much_for_the_reason() -> None:
    """At the parser's limit, what it could still read may be too deep for whoever prints it."""
    for depth in range(800, 1_010):
        told = why_not(raw("Churn", "[" * depth + "]" * depth)[:-1] + b',"Partner":"\xff"}')
        assert told is not None
        assert told[0] in {"encoding", "json"}


def test_the_lists_of_fields_agree_with_each_other() -> None:
    assert tuple(GOOD) == (*COLUMNS, "event_ts")
    assert set(FEATURES) == set(CATEGORIES) | set(NUMBERS)
    assert (*COLUMNS[:-1], "event_ts") == Customer.__struct_fields__


@pytest.mark.parametrize(("name", "values"), CATEGORIES.items())
def test_every_value_of_a_category_is_known(name: str, values: tuple[str, ...]) -> None:
    assert {getattr(decode_customer(good(**{name: value})), name) for value in values} == set(values)


@given(st.binary(max_size=400) | st.text(max_size=200).map(str.encode))
def test_whatever_comes_there_is_a_customer_or_a_reason(value: bytes) -> None:
    told = why_not(value)
    assert told is None or (told[0] in ErrorType and told[1] and told[2])


def why_not(value: bytes | None) -> tuple[ErrorType, str, str] | None:
    """The reason why this is no customer, if there is one."""
    try:
        decode_customer(value)
    except BAD_DATA as error:
        return explain(value, error)
    return None
