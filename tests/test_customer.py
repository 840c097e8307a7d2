import pytest
from hypothesis import given
from hypothesis import strategies as st

from telco_stream.contract.events import BAD_DATA
from telco_stream.errors import ErrorType
from tests.support.records import GOOD, POISON, STRANGE, good, raw
from tests.support.telco import CATEGORIES, COLUMNS, FEATURES, NUMBERS, decode, explain, value_of


@pytest.mark.parametrize(
    ("value", "reason"), [(case[1], case[2:]) for case in POISON], ids=[case[0] for case in POISON]
)
def test_explain_names_error_and_field_when_customer_is_invalid(
    value: bytes | None, reason: tuple[str, str, str]
) -> None:
    error_type, code, text = reason
    actual = rejection_reason(value)
    assert actual is not None
    assert actual[:2] == (error_type, code)
    assert text in actual[2]


@pytest.mark.parametrize("value", [value for _, value in STRANGE], ids=[name for name, _ in STRANGE])
def test_decode_customer_accepts_unusual_but_valid_input(value: bytes) -> None:
    assert rejection_reason(value) is None


def test_decode_customer_keeps_every_field() -> None:
    customer = decode(good())
    names = ("customerID", *FEATURES, "event_ts")
    assert [customer.key, *(value_of(customer, name) for name in FEATURES), customer.event_ts] == [
        GOOD[name] for name in names
    ]


def test_decode_customer_takes_the_last_value_when_repeated() -> None:
    assert value_of(decode(good()[:-1] + b',"tenure":5,"tenure":6}'), "tenure") == 6
    assert value_of(decode(b'{"tenure":"x",' + good()[1:]), "tenure") == 1


@pytest.mark.parametrize("blank", [None, "", " ", "\t \n"])
@pytest.mark.parametrize("tenure", [0, 1, 1000])
def test_decode_customer_returns_0_when_total_is_blank(blank: str | None, tenure: int) -> None:
    assert value_of(decode(good(TotalCharges=blank, tenure=tenure)), "TotalCharges") == 0


@pytest.mark.parametrize("text", ["0", "12.5", "-0", "1e2", "1E+2", "0.5e-3", "10000000"])
@pytest.mark.parametrize("name", ["MonthlyCharges", "TotalCharges"])
def test_decode_customer_reads_numbers_when_given_as_text(name: str, text: str) -> None:
    if name == "TotalCharges" or float(text) <= 10_000:
        assert value_of(decode(good(**{name: text})), name) == float(text)


@given(st.sampled_from(sorted(CATEGORIES)), st.text(min_size=6))
def test_explain_never_quotes_the_value(name: str, text: str) -> None:
    """The text ends up in logs, so it must not grow with the value either."""
    secret = f"«{text}»"
    for field in (name, "event_ts", "tenure", "MonthlyCharges", "TotalCharges"):
        reason = rejection_reason(good(**{field: secret}))
        assert reason is not None
        assert "«" not in reason[2]
        assert len(reason[2]) < 120


def test_explain_ignores_message_like_text_in_a_value() -> None:
    assert rejection_reason(good(Partner="x - at `$.secret`")) == (
        "validation",
        "unknown_category",
        "Unknown category - at `$.Partner`",
    )


def test_explain_succeeds_at_any_nesting_depth() -> None:
    """Near the limit of the parser, JSON that can be decoded may be too deep to process."""
    for depth in range(800, 1_010):
        reason = rejection_reason(raw("Churn", "[" * depth + "]" * depth)[:-1] + b',"Partner":"\xff"}')
        assert reason is not None
        assert reason[0] in {"encoding", "json"}


def test_field_lists_are_consistent() -> None:
    assert tuple(GOOD) == (*COLUMNS, "event_ts")
    assert set(FEATURES) == set(CATEGORIES) | set(NUMBERS)


@pytest.mark.parametrize(("name", "values"), CATEGORIES.items())
def test_decode_customer_accepts_every_category(name: str, values: tuple[str, ...]) -> None:
    assert {value_of(decode(good(**{name: value})), name) for value in values} == set(values)


@given(st.binary(max_size=400) | st.text(max_size=200).map(str.encode))
def test_any_bytes_yield_a_customer_or_a_reason(value: bytes) -> None:
    reason = rejection_reason(value)
    assert reason is None or (reason[0] in ErrorType and reason[1] and reason[2])


def rejection_reason(value: bytes | None) -> tuple[ErrorType, str, str] | None:
    """Return type, code and text of the error, or None if the value is a valid customer."""
    try:
        decode(value)
    except BAD_DATA as error:
        return explain(value, error)
    return None
