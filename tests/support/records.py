"""Customers as JSON, fake records that hold them, and a scorer that follows a rule."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from telco_stream.contract.events import Event
from telco_stream.messages.codec import Codec
from telco_stream.messages.record import Headers
from telco_stream.model.reasons.explainer import Explainer
from telco_stream.model.scorer import ScoringError
from tests.support.telco import CODEC

#: A customer that passes every check.
GOOD: dict[str, Any] = {
    "customerID": "7590-VHVEG",
    "gender": "Female",
    "SeniorCitizen": 0,
    "Partner": "Yes",
    "Dependents": "No",
    "tenure": 1,
    "PhoneService": "No",
    "MultipleLines": "No phone service",
    "InternetService": "DSL",
    "OnlineSecurity": "No",
    "OnlineBackup": "Yes",
    "DeviceProtection": "No",
    "TechSupport": "No",
    "StreamingTV": "No",
    "StreamingMovies": "No",
    "Contract": "Month-to-month",
    "PaperlessBilling": "Yes",
    "PaymentMethod": "Electronic check",
    "MonthlyCharges": 29.85,
    "TotalCharges": 29.85,
    "Churn": "No",
    "event_ts": "2026-01-01T00:00:00Z",
}


@dataclass(frozen=True, slots=True)
class FakeRecord:
    """A record with the methods of the client's messages."""

    value_: bytes | None
    offset_: int = 0
    partition_: int = 0
    key_: bytes | None = b"7590-VHVEG"
    headers_: Headers | None = None
    topic_: str = "raw"
    timestamp_: int = 1_767_225_600_000

    def topic(self) -> str:
        return self.topic_

    def partition(self) -> int:
        return self.partition_

    def offset(self) -> int:
        return self.offset_

    def key(self) -> bytes | None:
        return self.key_

    def value(self) -> bytes | None:
        return self.value_

    def headers(self) -> Headers | None:
        return self.headers_

    def timestamp(self) -> tuple[int, int]:
        return (1, self.timestamp_)


@dataclass
class RuleScorer:
    """Scores each customer with `rule`, which may raise `ScoringError`; records the size of each call."""

    rule: Callable[[Event], float] = lambda _: 0.25
    version: str = "rule-1"
    threshold: float = 0.5
    engine: str = "sklearn"
    codec: Codec = CODEC
    calls: list[int] = field(default_factory=list)
    explainer: Explainer | None = None

    def score(self, events: Sequence[Event]) -> list[float]:
        self.calls.append(len(events))
        return [self.rule(event) for event in events]


def refuse(*ids: str) -> Callable[[Event], float]:
    """Return a rule that fails for these customers."""

    def rule(customer: Event) -> float:
        if customer.key in ids:
            raise ScoringError("no")
        return 0.25

    return rule


def good(**changes: Any) -> bytes:
    """Return a valid customer as JSON, with these fields replaced."""
    return json.dumps(GOOD | changes, ensure_ascii=False).encode()


def without(*names: str) -> bytes:
    """Return a valid customer as JSON without these fields."""
    return json.dumps({name: value for name, value in GOOD.items() if name not in names}).encode()


def raw(name: str, text: str | bytes) -> bytes:
    """Return a valid customer with this text as the JSON of one field."""
    mark = "\x01place\x01"
    body = text if isinstance(text, bytes) else text.encode()
    return json.dumps(GOOD | {name: mark}).encode().replace(json.dumps(mark).encode(), body)


#: What must be rejected: name, value, error type, code, and what the message must say.
POISON: list[tuple[str, bytes | None, str, str, str]] = [
    ("no value", None, "empty", "no_value", "no content"),
    ("empty", b"", "empty", "empty_value", "no content"),
    ("white space", b" \n", "json", "malformed", ""),
    ("not json", b"hello", "json", "malformed", "malformed"),
    ("cut off", good()[:200], "json", "malformed", "truncated"),
    ("cut off after a bad field", b'{"tenure":"x","gender":"Fe', "json", "malformed", "truncated"),
    ("text after", good() + b" and more", "json", "malformed", "trailing"),
    ("two documents", good() * 2, "json", "malformed", "trailing"),
    ("text after a bad one", good(tenure="x") + b"}", "json", "malformed", "trailing"),
    ("byte order mark", b"\xef\xbb\xbf" + good(), "json", "malformed", "malformed"),
    ("nan", raw("MonthlyCharges", "NaN"), "json", "malformed", "malformed"),
    ("infinity", raw("MonthlyCharges", "Infinity"), "json", "malformed", "malformed"),
    ("minus infinity", raw("tenure", "-Infinity"), "json", "malformed", "malformed"),
    ("lone surrogate", raw("customerID", r'"\ud800"'), "json", "malformed", "surrogate"),
    ("deep array", b"[" * 100_000 + b"]" * 100_000, "json", "too_deep", "nested"),
    ("deep array, open", b"[" * 100_000, "json", "too_deep", "nested"),
    ("deep object", b'{"a":' * 100_000 + b"1" + b"}" * 100_000, "json", "too_deep", "nested"),
    ("deep in a field not read", raw("Churn", "[" * 100_000 + "]" * 100_000), "json", "too_deep", "nested"),
    ("deep in a field", raw("customerID", "[" * 100_000 + "]" * 100_000), "json", "too_deep", "nested"),
    ("not utf-8", b"\xff\xfe\x00", "encoding", "not_utf8", "Not UTF-8"),
    ("utf-16", json.dumps(GOOD).encode("utf-16"), "encoding", "not_utf8", "Not UTF-8"),
    ("not utf-8 in an id", raw("customerID", b'"\xff"'), "encoding", "not_utf8", "`$.customerID`"),
    ("not utf-8 in a category", raw("Partner", b'"\xff"'), "encoding", "not_utf8", "`$.Partner`"),
    ("not utf-8 in the time", raw("event_ts", b'"\xff"'), "encoding", "not_utf8", "`$.event_ts`"),
    ("array", b"[]", "validation", "wrong_type", "`object`"),
    ("null", b"null", "validation", "wrong_type", "`object`"),
    ("a number", b"17", "validation", "wrong_type", "`object`"),
    ("a text", b'"x"', "validation", "wrong_type", "`object`"),
    ("no fields", b"{}", "validation", "missing_field", "`customerID`"),
    ("missing field", without("tenure"), "validation", "missing_field", "`tenure`"),
    ("missing time", without("event_ts"), "validation", "missing_field", "`event_ts`"),
    ("missing total", without("TotalCharges"), "validation", "missing_field", "`TotalCharges`"),
    ("unknown category", good(Contract="Forever"), "validation", "unknown_category", "`$.Contract`"),
    ("case of a category", good(gender="female"), "validation", "unknown_category", "`$.gender`"),
    ("null category", good(Partner=None), "validation", "wrong_type", "`$.Partner`"),
    ("number for a category", good(Partner=1), "validation", "wrong_type", "`$.Partner`"),
    ("empty id", good(customerID=""), "validation", "out_of_range", "`$.customerID`"),
    ("number for an id", good(customerID=7590), "validation", "wrong_type", "`$.customerID`"),
    ("null id", good(customerID=None), "validation", "wrong_type", "`$.customerID`"),
    ("true for a number", good(SeniorCitizen=True), "validation", "wrong_type", "`$.SeniorCitizen`"),
    ("true for a total", good(TotalCharges=True), "validation", "wrong_type", "`$.TotalCharges`"),
    ("true as text", good(SeniorCitizen="true"), "validation", "wrong_type", "`$.SeniorCitizen`"),
    ("half a month", good(tenure=1.5), "validation", "wrong_type", "`$.tenure`"),
    ("half a month as text", good(tenure="1.5"), "validation", "wrong_type", "`$.tenure`"),
    ("null number", good(tenure=None), "validation", "wrong_type", "`$.tenure`"),
    ("blank number", good(MonthlyCharges=" "), "validation", "wrong_type", "`$.MonthlyCharges`"),
    ("object for a number", good(MonthlyCharges={}), "validation", "wrong_type", "`$.MonthlyCharges`"),
    ("text for a total", good(TotalCharges="much"), "validation", "wrong_type", "`$.TotalCharges`"),
    ("underscored total", good(TotalCharges="1_000"), "validation", "wrong_type", "`$.TotalCharges`"),
    ("no json number", good(TotalCharges="+5"), "validation", "wrong_type", "`$.TotalCharges`"),
    ("null as text", good(TotalCharges="null"), "validation", "wrong_type", "`$.TotalCharges`"),
    ("nan as text", good(TotalCharges="NaN"), "validation", "wrong_type", "`$.TotalCharges`"),
    ("infinity as text", good(MonthlyCharges="Infinity"), "validation", "out_of_range", "`$.MonthlyCharges`"),
    ("infinite total as text", good(TotalCharges="Infinity"), "validation", "wrong_type", "`$.TotalCharges`"),
    ("1e400", raw("MonthlyCharges", "1e400"), "validation", "out_of_range", "`$.MonthlyCharges`"),
    ("1e400 months", raw("tenure", "1e400"), "validation", "out_of_range", "`$.tenure`"),
    ("1e400 as text", good(TotalCharges="1e400"), "validation", "out_of_range", "`$.TotalCharges`"),
    ("below 0", good(tenure=-1), "validation", "out_of_range", "`$.tenure`"),
    ("above 1000 months", good(tenure=1001), "validation", "out_of_range", "`$.tenure`"),
    ("above 10000 a month", good(MonthlyCharges=10_000.01), "validation", "out_of_range", "`$.MonthlyCharges`"),
    ("above 10 million", good(TotalCharges=10_000_000.5), "validation", "out_of_range", "`$.TotalCharges`"),
    ("above 10 million, text", good(TotalCharges="10000001"), "validation", "out_of_range", "`$.TotalCharges`"),
    ("two seniors", good(SeniorCitizen=2), "validation", "out_of_range", "`$.SeniorCitizen`"),
    ("more digits than fit", raw("tenure", "9" * 900_000), "validation", "out_of_range", "`$.tenure`"),
    ("time without zone", good(event_ts="2026-01-01T00:00:00"), "validation", "bad_time", "`$.event_ts`"),
    ("date alone", good(event_ts="2026-01-01"), "validation", "bad_time", "`$.event_ts`"),
    ("no time", good(event_ts="yesterday"), "validation", "bad_time", "`$.event_ts`"),
    ("time with a space", good(event_ts="2026-01-01 00:00:00Z"), "validation", "bad_time", "`$.event_ts`"),
    ("time with a NUL", good(event_ts="2026-01-01\0" + "00:00:00Z"), "validation", "bad_time", "`$.event_ts`"),
    ("week date", good(event_ts="2026-W01-4T00:00:00Z"), "validation", "bad_time", "`$.event_ts`"),
    ("time without seconds", good(event_ts="2026-01-01T00:00Z"), "validation", "bad_time", "`$.event_ts`"),
    ("offset without a colon", good(event_ts="2026-01-01T00:00:00+0530"), "validation", "bad_time", "`$.event_ts`"),
    ("leap second", good(event_ts="2016-12-31T23:59:60Z"), "validation", "bad_time", "`$.event_ts`"),
    ("null time", good(event_ts=None), "validation", "bad_time", "`$.event_ts`"),
    ("number for a time", good(event_ts=1_767_225_600), "validation", "bad_time", "`$.event_ts`"),
    (
        "bad time beside bytes not read",
        raw("Churn", b'"\xff"').replace(b"2026-01-01T", b""),
        "validation",
        "bad_time",
        "`$.event_ts`",
    ),
    ("last of two is bad", good()[:-1] + b',"tenure":"x"}', "validation", "wrong_type", "`$.tenure`"),
    ("900 kB of text", b"x" * 900_000, "json", "malformed", "malformed"),
    ("900 kB in a category", good(Contract="x" * 900_000), "validation", "unknown_category", "`$.Contract`"),
]

#: Records that look odd but are valid.
STRANGE: list[tuple[str, bytes]] = [
    ("fields twice", good()[:-1] + b',"tenure":5,"tenure":6}'),
    ("bad, then good", b'{"tenure":"x",' + good()[1:]),
    ("bad, then good, beside bytes not read", b'{"tenure":"x","Churn":"\xff",' + good()[1:]),
    ("not utf-8, then good", b'{"customerID":"\xff",' + good()[1:]),
    ("unicode id", good(customerID="Жанна-日本-🙂")),
    ("escaped id", raw("customerID", r'"\u0416\ud83d\ude42"')),
    ("blank id", good(customerID=" ")),
    ("nul in an id", raw("customerID", r'"\u0000"')),
    ("long id", good(customerID="x" * 400_000)),
    ("escaped name", good().replace(b'"tenure"', rb'"\u0074enure"')),
    ("numbers as text", good(SeniorCitizen="1", tenure="12", MonthlyCharges="29.85", TotalCharges="1e2")),
    ("5.0 for 5", good(tenure=5.0, SeniorCitizen=1.0)),
    ("5.0 as text", good(tenure="5.0")),
    ("exponents", raw("tenure", "1E1")),
    ("minus nought", raw("MonthlyCharges", "-0.0")),
    ("white space", b" \r\n\t" + json.dumps(GOOD, indent=4).encode() + b"\n "),
    ("another order", json.dumps(dict(reversed(GOOD.items()))).encode()),
    ("no total", good(TotalCharges=None)),
    ("empty total", good(TotalCharges="")),
    ("blank total", good(TotalCharges=" ", tenure=40)),
    ("total of tabs", good(TotalCharges="\t\n")),
    ("unknown fields", good(region="north", more={"a": [1, None]})),
    ("not utf-8 in a field not read", raw("Churn", b'"\xff"')),
    ("churn a number", good(Churn=17)),
    ("churn null", good(Churn=None)),
    ("churn an object", good(Churn={"a": [[[]]]})),
    ("no churn", without("Churn")),
    ("deep, but not beyond the parser", raw("Churn", "[" * 300 + "]" * 300)),
    ("largest numbers", good(tenure=1000, MonthlyCharges=10_000, TotalCharges=10_000_000)),
    ("time with an offset", good(event_ts="2026-01-01T05:30:00+05:30")),
    ("time with nanoseconds", good(event_ts="2026-01-01T00:00:00.123456789Z")),
    ("time in lower case", good(event_ts="2026-01-01t00:00:00z")),
]
