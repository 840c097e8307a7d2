"""Errors of `contract.json`: each says where and what to do, and hostile files are refused within a second."""

import json
import time
from typing import Any

import pytest

from telco_stream.contract.document import (
    MAX_BYTES,
    ContractError,
    builtin_content,
    builtin_contract,
    decode_contract,
    encode_contract,
)
from telco_stream.contract.rules import MAX_ALL_VALUES, hints, snake_case
from telco_stream.contract.schema import MAX_FEATURES, MAX_VALUES
from tests.support.contracts import SMALL, UNUSUAL_NAMES, Document, Edit, edited, line_of, rename, small

NUMBER = {"kind": "number", "minimum": 0, "maximum": 1}


def errors_of(content: bytes) -> tuple[str, ...]:
    """Return the errors of a file, which must be found within a second of CPU time."""
    started = time.process_time()
    with pytest.raises(ContractError) as error:
        decode_contract(content)
    assert time.process_time() - started < 1
    assert len(error.value.errors) <= 21
    return error.value.errors


def put(*path: Any, value: Any) -> Edit:
    """Return an edit that sets a value."""

    def edit(document: Document) -> None:
        target: Any = document
        for step in path[:-1]:
            target = target[step]
        target[path[-1]] = value

    return edit


def remove(*path: Any) -> Edit:
    """Return an edit that removes a key."""

    def edit(document: Document) -> None:
        target: Any = document
        for step in path[:-1]:
            target = target[step]
        del target[path[-1]]

    return edit


def test_contract_keeps_its_content_when_encoded() -> None:
    assert encode_contract(builtin_contract()) == builtin_content()
    assert decode_contract(encode_contract(small())) == small()


@pytest.mark.parametrize(
    ("edit", "text"),
    [
        (put("contract", value=2), "`contract` is 2; it must be 1"),
        (put("contract", value=True), "`contract` is true; it must be 1"),
        (put("name", value="Mobile Churn"), "`name` is 'Mobile Churn'; it must be 1 to 63 lower-case"),
        (put("entity", value="9"), "`entity` is '9'; it must be 1 to 40 letters"),
        (put("key", "kind", value="uuid"), "key: `kind` is 'uuid'; it must be integer or text"),
        (put("key", value="id"), "`key` is 'id'; it must be an object"),
        (put("label", "negative", value=0), "label: `negative` is 0; it must be a text of at most 256 characters"),
        (put("features", value=[]), "`features` is a list of 0 items; it must be a list of 1 to 500 items"),
        (put("features", value={}), "`features` is an object; it must be a list of 1 to 500 items"),
        (
            put("features", 3, "kind", value="float"),
            "features[3]: `kind` is 'float'; it must be one of number, integer, boolean, category",
        ),
        (put("features", 3, "kind", value=7), "features[3]: `kind` is 7; it must be one of number, integer"),
        (put("features", 3, value=None), "`features[3]` is null; it must be an object"),
        (put("features", 3, "maximum", value="5"), "features[3]: `maximum` is '5'; it must be a whole number"),
        (
            put("carry", 0, "max_length", value=0),
            "carry[0]: `max_length` is 0; it must be a whole number from 1 to 100",
        ),
        (put("features", 3, "maximum", value=5.5), "features[3]: `maximum` is 5.5; it must be a whole number"),
        (put("features", 3, "maximum", value=2**60), "features[3]: `maximum` is 1152921504606846976; it must be"),
        (
            put("features", 1, "maximum", value=1e39),
            "`maximum` is 1e+39; it must be a number from -1e37 to 1e37",
        ),
        (put("features", 2, "fill", value="0"), "features[2]: `fill` is '0'; it must be a number"),
        (put("features", 2, "nullable", value=1), "features[2]: `nullable` is 1; it must be true or false"),
        (put("features", 0, "values", 1, value=408), "features[0]: `values[1]` is 408; it must be a text"),
        (
            put("features", 0, "values", 1, value="x" * 5_000),
            "`values[1]` is 'xxxxxxxxxx",
        ),
        (
            put("features", 0, "name", value='a"b'),
            "without double quotes, backticks, backslashes",
        ),
        (put("features", 0, "name", value="a`b"), "features[0]: `name` is 'a`b'; it must be a name"),
        (put("features", 0, "name", value="a\u2028b"), "features[0]: `name` is 'a\\u2028b'; it must be a name"),
        (put("features", 0, "name", value=""), "features[0]: `name` is ''; it must be a name of 1 to 128 characters"),
        (put("features", 1, "minimun", value=3), "features[1]: `minimun` is not a key here; did you mean `minimum`?"),
        (put("features", 1, "values", value=["a"]), "features[1]: `values` is not a key here; known are fill, kind"),
        (put("segmnts", value=[]), "`segmnts` is not a key here; did you mean `segments`?"),
        (put("segments", value=["plan"] * 5), "`segments` is a list of 5 items; it must be a list of 0 to 4 items"),
        (put("carry", 0, "kind", value="txt"), "must be one of number, integer, boolean, category, text"),
        (put("carry", 0, value=3), "`carry[0]` is 3; it must be a name or an object"),
    ],
)
def test_decode_contract_names_the_value_when_it_is_wrong(edit: Edit, text: str) -> None:
    content = edited(edit)
    (error,) = errors_of(content)
    assert text in error
    assert error.startswith("line ")


@pytest.mark.parametrize(
    ("edit", "text"),
    [
        (remove("key"), "`key` is missing"),
        (remove("label", "positive"), "label: `positive` is missing"),
        (remove("features", 1, "minimum"), "features[1]: `minimum` is missing"),
        (remove("features", 1, "kind"), "features[1]: `kind` is missing; it must be one of number, integer"),
        (remove("contract"), "the key `contract` is missing, so this is not a contract"),
    ],
)
def test_decode_contract_names_the_key_when_it_is_missing(edit: Edit, text: str) -> None:
    (error,) = errors_of(edited(edit))
    assert text in error


@pytest.mark.parametrize(
    ("edit", "text"),
    [
        (put("features", 2, "name", value="plan"), "features[2].name: `plan` is the name of two columns"),
        (put("features", 2, "name", value="account_id"), "features[2].name: `account_id` is the name of two columns"),
        (put("label", "name", value="plan"), "label.name: `plan` is the name of two columns"),
        (put("features", 2, "name", value=" x"), "features[2].name: ` x` begins or ends with white space"),
        (put("features", 1, "optional", value=True), "`monthly_fee` is `optional`, so it must be `nullable` too"),
        (put("features", 0, "values", value=["a", "b", "a"]), "features[0]: `plan` has the value 'a' twice"),
        (put("features", 5, "values", 0, value=" "), "`device` is `nullable`, so a blank cannot be one of its values"),
        (put("features", 5, "other", value="Null"), "`device` is `nullable`, so the text null cannot be one of"),
        (put("features", 5, "values", 0, value="NA"), "has the value 'NA', which `missing` turns into null"),
        (put("features", 3, "minimum", value=100), "`complaints` needs a `minimum` below its `maximum`"),
        (put("features", 1, "fill", value=0), "`monthly_fee` has a `fill`, so it must be `nullable`"),
        (put("features", 2, "fill", value=-1), "`data_gb` has a `fill` outside its range"),
        (put("label", "positive", value="0"), "label: `positive` and `negative` are the same"),
        (put("label", "negative", value=" "), "label: `positive` and `negative` must not be blank"),
        (put("carry", 1, value="region"), "carry[1]: no feature is named `region`"),
        (put("carry", 0, value="complaints"), "carry[1]: `complaints` is there twice"),
        (put("charge", value="plan"), "charge: no number is named `plan`"),
        (put("segments", 0, value="region"), "segments[0]: no category or boolean is named `region`"),
        (put("segments", 0, value="complaints"), "segments[0]: no category or boolean is named `complaints`"),
        (put("segments", 1, value="plan"), "segments[1]: `by_plan` would be the key of two segments in reports"),
        (put("label", "probability", value="plan"), "segments[0]: `plan` would be a field of predictions twice"),
        (put("carry", 0, "name", value="prediction"), "carry[0]: `prediction` would be a field of predictions twice"),
    ],
)
def test_decode_contract_names_the_rule_when_it_is_broken(edit: Edit, text: str) -> None:
    (error,) = errors_of(edited(edit))
    assert text in error
    assert error.startswith("line ")


@pytest.mark.parametrize(
    ("edit", "text"),
    [(put("features", 3, "maximum", value="5"), '"5"'), (put("segments", 1, value="nowhere"), "nowhere")],
)
def test_decode_contract_gives_the_line_of_the_value(edit: Edit, text: str) -> None:
    content = edited(edit)
    (error,) = errors_of(content)
    assert error.startswith(f"line {line_of(content, text)}: ")


def test_decode_contract_reports_every_error() -> None:
    def edit(document: Document) -> None:
        put("name", value="A")(document)
        remove("time")(document)
        put("features", 1, "minimun", value=0)(document)
        put("features", 3, "kind", value="float")(document)
        put("label", "positive", value=1)(document)

    assert len(errors_of(edited(edit))) == 5


def test_decode_contract_counts_the_errors_beyond_20() -> None:
    errors = errors_of(edited(put("features", value=[{**NUMBER, "name": f"n{i}", "x": 1} for i in range(100)])))
    assert len(errors) == 21
    assert errors[-1] == "… and 80 more"


def test_contract_error_is_one_line_with_the_number_of_others() -> None:
    with pytest.raises(ContractError) as error:
        decode_contract(edited(lambda document: [document.pop("key"), document.pop("time")]))
    assert str(error.value) == "`key` is missing (and 1 more: `telco-stream contract check` lists them)"


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"", "it is empty"),
        (b" \n", "it is empty"),
        (b"\xef\xbb\xbf{}", "it is in UTF-8 with a byte order mark"),
        ("{}".encode("utf-16"), "it is in UTF-16: save it in UTF-8"),
        (b'{\n "name": "\xff"}', "line 2, column 11: not UTF-8"),
        (b'{"contract": NaN}', "line 1, column 14: JSON has no NaN"),
        (b'{"contract": Infinity}', "line 1, column 14: JSON has no Infinity"),
        (b"{'contract': 1}", "line 1, column 2: JSON needs double quotes"),
        ("{“contract”: 1}".encode(), "line 1, column 2: JSON needs straight double quotes"),
        (b'{"contract": True}', "line 1, column 14: JSON writes true"),
        (b"// telco\n{}", "line 1, column 1: JSON has no comments"),
        (b'{\n  "contract": 1\n  "name": "a"}', "line 3, column 3: not JSON: expected ',' or '}'"),
        ('{"é": 1,}'.encode(), "line 1, column 9: not JSON: trailing comma in object"),
        (b'{"contract": 1', "line 1, column 15: the file ends too early; a bracket or a quote is not closed"),
        (b'{"contract": 1, "name": "\\ud800"}', "line 1, column 26: half of a surrogate pair"),
        (b"plan,left\nbasic,1\n", "line 1, column 1: not JSON: invalid character"),
        (b"[]", "the file is a list of 0 items; it must be an object"),
        (b'"telco"', "the file is 'telco'; it must be an object"),
        (b'{"customerID": "a"}', "the key `contract` is missing, so this is not a contract"),
    ],
)
def test_decode_contract_gives_the_position_when_it_is_not_json(content: bytes, text: str) -> None:
    (error,) = errors_of(content)
    assert error.startswith(text)


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b" " * MAX_BYTES + b"{}", "it is larger than 1,048,576 bytes"),
        (b'{"contract":' + b"[" * 500_000, "it is nested too deeply"),
        (b"[" * 1_000_000, "it is nested too deeply"),
        (b'{"contract":' + b"9" * 1_000_000 + b"}", "`contract` is too large a number; it must be 1"),
        (b'{"contract": 1e999}', "`contract` is too large a number; it must be 1"),
        (b'{"contract":1,"name":"' + b"9" * 1_000_000 + b'"}', "(1,000,000 characters); it must be"),
        (b'{"contract":1,"features":[' + b"1," * 400_000 + b"1]}", "`features` is a list of 400,001 items"),
        (b'{"contract":1' + b"".join(b',"%d":1' % i for i in range(90_000)) + b"}", "`0` is not a key here"),
        (
            b'{"contract":1,"features":['
            + b",".join(b'{"kind":"category","values":[%s]}' % b",".join([b"1"] * 900) for _ in range(500))
            + b"]}",
            "features[0]: `values[0]` is 1; it must be a text",
        ),
        (b'{"contract":1,"contract":1}', "an object has the key `contract` twice"),
    ],
)
def test_decode_contract_is_fast_when_the_file_is_hostile(content: bytes, text: str) -> None:
    assert any(text in error for error in errors_of(content))


def test_decode_contract_refuses_a_key_that_stands_twice() -> None:
    content = edited(lambda _: None).replace(b'"kind": "boolean"', b'"kind": "boolean", "kind": "boolean"')
    (error,) = errors_of(content)
    assert error == "an object has the key `kind` twice; its last value would count"


@pytest.mark.parametrize(
    ("features", "text"),
    [
        ([{**NUMBER, "name": f"n{i}"} for i in range(MAX_FEATURES + 1)], "a list of 501 items"),
        ([{"kind": "category", "name": "c", "values": list(map(str, range(MAX_VALUES + 1)))}], "a list of 5,001 items"),
        (
            [{"kind": "category", "name": f"c{n}", "values": list(map(str, range(MAX_VALUES)))} for n in range(5)],
            f"the categories have more than {MAX_ALL_VALUES:,} values together",
        ),
    ],
)
def test_decode_contract_refuses_more_than_the_limits(features: list[Document], text: str) -> None:
    document = {key: value for key, value in SMALL.items() if key not in {"segments", "carry", "charge"}}
    (error,) = errors_of(json.dumps(document | {"features": features}).encode())
    assert text in error


def test_decode_contract_refuses_too_many_combinations() -> None:
    values = [str(number) for number in range(200)]
    features = [{"kind": "category", "name": name, "values": values} for name in ("a", "b")]
    document = {key: value for key, value in SMALL.items() if key not in {"carry", "charge"}}
    (error,) = errors_of(json.dumps(document | {"features": features, "segments": ["a", "b"]}).encode())
    assert "they have 40,000 combinations; at most 10,000 can be counted" in error


@pytest.mark.parametrize("names", [("InternetService", "internet service"), ("a-b", "a_b"), ("plan", "PLAN")])
def test_decode_contract_refuses_segments_with_the_same_key(names: tuple[str, str]) -> None:
    features = [{"kind": "boolean", "name": name} for name in names]
    document = {key: value for key, value in SMALL.items() if key not in {"carry", "charge"}}
    (error,) = errors_of(json.dumps(document | {"features": features, "segments": names}).encode())
    assert f"`by_{snake_case(names[1])}` would be the key of two segments" in error


@pytest.mark.parametrize("name", UNUSUAL_NAMES)
def test_decode_contract_accepts_unusual_names(name: str) -> None:
    contract = small(rename(name))
    assert contract.features[3].name == name
    assert decode_contract(encode_contract(contract)) == contract


def test_decode_contract_accepts_the_largest_contract() -> None:
    def edit(document: Document) -> None:
        values = [str(number) for number in range(MAX_VALUES)]
        wide = [{**NUMBER, "name": f"n{number}"} for number in range(MAX_FEATURES - 6 - 3)]
        document["features"] += [{"kind": "category", "name": f"c{n}", "values": values} for n in range(3)] + wide

    assert len(small(edit).features) == MAX_FEATURES


def test_hints_finds_a_composed_and_a_decomposed_letter() -> None:
    assert list(hints(small())) == []
    contract = small(lambda document: [put("features", i, "name", value=n)(document) for i, n in _LOOK_ALIKES.items()])
    assert list(hints(contract)) == ["2 columns have names that look like `Café`"]


def test_hints_finds_missing_texts_that_no_column_accepts() -> None:
    def edit(document: Document) -> None:
        document["features"], document["carry"] = document["features"][:2], []
        document["segments"] = ["plan"]

    assert list(hints(small(edit))) == ["`missing` has no effect, because no column is `nullable`"]


_LOOK_ALIKES = {2: "Caf\u00e9", 5: "Cafe\u0301"}
