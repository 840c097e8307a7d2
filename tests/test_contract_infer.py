"""`contract infer`: what columns become, leaks, candidates, and files that it refuses."""

import csv
import gzip
import json
import random
import shlex
import tracemalloc
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from msgspec.structs import replace

from telco_stream.contract.document import builtin_contract, decode_contract
from telco_stream.contract.inference import profile as profiles
from telco_stream.contract.inference.candidates import KeyCandidate
from telco_stream.contract.inference.draft import InferredColumn
from telco_stream.contract.schema import Boolean, Category, Contract, Feature, Integer, Number
from telco_stream.csv.infer_options import InferOptions
from telco_stream.csv.inference import Candidates, InferResult, infer_contract
from telco_stream.errors import UsageError
from tests.support.foreign_data import FOREIGN, TELCO, ForeignData, needs_foreign_data, needs_telco_data
from tests.support.in_process import CompletedRun, run_in_process

ROWS = 200
#: A label that no column tells.
LABELS = ["yes" if number % 3 == 0 else "no" for number in range(ROWS)]
#: A file with 501 columns that could be features.
WIDE = "".join(
    f"{','.join(row)}\n"
    for row in [
        ["id", "left", *(f"x{n}" for n in range(501))],
        *([f"k{n}", "yes" if n % 3 else "no", *[str(n % 2)] * 501] for n in range(9)),
    ]
).encode()
COMPLETE = ("--key", "id", "--label", "left", "--positive", "yes")


def write(path: Path, header: Sequence[str], rows: Sequence[Sequence[object]], delimiter: str = ",") -> Path:
    with path.open("w", newline="") as file:
        csv.writer(file, delimiter=delimiter).writerows([header, *rows])
    return path


@pytest.fixture
def infer_column(tmp_path: Path) -> Callable[..., tuple[Feature | None, InferredColumn]]:
    """Return a function from the texts of a column to its feature and description; the texts are repeated."""

    def infer(
        texts: Sequence[object], name: str = "x", labels: Sequence[str] = LABELS
    ) -> tuple[Feature | None, InferredColumn]:
        repeated = [texts[number % len(texts)] for number in range(ROWS)]
        rows = [[f"k{number}", repeated[number], number % 7, label] for number, label in enumerate(labels)]
        path = write(tmp_path / "data.csv", ["id", name, "rest", "left"], rows)
        contract, result = infer_file(path, key="id", label="left", positive="yes")
        feature = next((feature for feature in contract.features if feature.name == name), None)
        return feature, result.columns[1]

    return infer


def infer_file(path: Path, **options: object) -> tuple[Contract, InferResult]:
    out = path.with_suffix(".json") if path.parent.name != "foreign" else Path("contract.json")
    result = infer_contract(InferOptions(path, **{"out": out, "replace": True, **options}), lambda _rows: None)  # type: ignore[arg-type]
    assert isinstance(result, InferResult)
    return decode_contract(Path(result.contract).read_bytes()), result


def run(path: Path, *arguments: str) -> CompletedRun:
    return run_in_process("contract", "infer", str(path), *arguments, env={})


@pytest.mark.parametrize(
    ("texts", "feature"),
    [
        (["0", "1"], Integer(name="x", minimum=0, maximum=1)),
        (["1", "72"], Integer(name="x", minimum=0, maximum=1_000)),
        (["-3", "+5"], Integer(name="x", minimum=-100, maximum=100)),
        (["-3", "-1"], Integer(name="x", minimum=-100, maximum=0)),
        (["18.25", "118.75"], Number(name="x", minimum=0, maximum=10_000)),
        (["100", "1000"], Integer(name="x", minimum=0, maximum=10_000)),
        ([".05", "1e-3"], Number(name="x", minimum=0, maximum=10)),
        (["1e+05", "5"], Number(name="x", minimum=0, maximum=1_000_000)),
        (["1", "1000000000000000"], Integer(name="x", minimum=0, maximum=2**53)),
        (["0", ""], Integer(name="x", minimum=0, maximum=1, nullable=True)),
        (["1", "2", " "], Integer(name="x", minimum=0, maximum=100, nullable=True)),
        (["1", "2", "NA"], Integer(name="x", minimum=0, maximum=100, nullable=True)),
        (["1", "2", "?"], Integer(name="x", minimum=0, maximum=100, nullable=True)),
        (["true", "FALSE"], Boolean(name="x")),
        (["t", "f", ""], Boolean(name="x", nullable=True)),
        (["true", "f"], Category(name="x", values=("f", "true"))),
        (["Yes", "No"], Category(name="x", values=("No", "Yes"))),
        (["Yes", "No", "Null", "NULL "], Category(name="x", values=("No", "Yes"), nullable=True)),
        (["gold", "None"], Category(name="x", values=("None", "gold"))),
        (["only", ""], Category(name="x", values=("only",), nullable=True)),
        (["01", "12"], Category(name="x", values=("01", "12"))),
        (["5 %", "10 %"], Category(name="x", values=("10 %", "5 %"))),
        ([f"v{number:03}" for number in range(100)], Category(name="x", values=tuple(f"v{n:03}" for n in range(100)))),
        (
            [*["a", "b"] * 40, *(f"v{number}" for number in range(20)), *["a", "b"] * 40, *map(str, range(200, 220))]
            * 1,
            Category(
                name="x", values=tuple(sorted(["a", "b", *(f"v{n}" for n in range(20)), *map(str, range(200, 220))]))
            ),
        ),
    ],
)
def test_infer_feature_has_kind_and_range_of_texts(
    infer_column: Callable[..., tuple[Feature | None, InferredColumn]], texts: list[str], feature: Feature
) -> None:
    inferred, _ = infer_column(texts)
    assert inferred == feature


@pytest.mark.parametrize(
    ("name", "texts", "reason"),
    [
        ("x", [""], "always blank"),
        ("x", ["NA"], "always blank"),
        ("x", ["same"], "one value only"),
        ("x", ["5", "5.0"], "one value only"),
        ("x", ["2026-01-31", "2026-02-28"], "a date"),
        ("x", ["31.01.2026 10:00", "01.02.2026 11:30"], "a date"),
        ("x", ["2026-01-31T10:00:00Z", "2026-02-28T10:00:00+01:00"], "a time"),
        ("x", ["2026-01-31T10:00:00Z", "2026-02-28"], "a date"),
        ("x", ["a@example.org", "b@example.org", "c@example.org"], "e-mail addresses"),
        ("x", [f"text {number}" for number in range(ROWS)], "another text in each row"),
        ("x", [f"text {number}" for number in range(150)], "rare"),
        ("x", [f"1,{number:03}" for number in range(150)], "numbers as text"),
        ("x", [f"{number:05}" for number in range(150)], "leading zeros"),
        ("x", ["long" * 65, "short"], "free text"),
        ("x", [*map(str, range(5, ROWS + 5))], "numbers the rows"),
        ("ticket_id", [str(7 * number) for number in range(ROWS)], "numbers the rows"),
        ("x", ["1234567890123456", "5"], "15 digits"),
        ("x", ["1e36", "0.5"], "too large"),
        ("LastName", [f"name {number}" for number in range(20)], "personal"),
        ("phone", [f"{555000 + 3 * number}" for number in range(20)], "personal"),
        ('a "quoted" name', ["1", "2"], "rename"),
        ("", ["1", "2"], "no name"),
    ],
)
def test_infer_leaves_out_columns_with_a_reason(
    infer_column: Callable[..., tuple[Feature | None, InferredColumn]], name: str, texts: list[str], reason: str
) -> None:
    inferred, column = infer_column(texts, name)
    assert inferred is None
    assert column.role == "left out"
    assert reason in column.becomes


@pytest.mark.parametrize(
    ("name", "texts", "note"),
    [
        ("x", ["1", "2", "NA"], "blank (`NA` counts as blank)"),
        ("x", ["3", "9", "4"], "3 to 9 seen"),
        ("area_code", ["408", "415", "510"], "reads like a code"),
        ("x", ["01", "12"], "leading zeros"),
        ("x", ["a ", "b"], "white space"),
        ("x", ["5 %", "10 %"], "numbers as text"),
        ("x", [f"v{number:03}" for number in range(50)], "50 of 50 values have fewer than 5 rows"),
    ],
)
def test_infer_notes_what_to_review(
    infer_column: Callable[..., tuple[Feature | None, InferredColumn]], name: str, texts: list[str], note: str
) -> None:
    assert note in "; ".join(infer_column(texts, name)[1].notes)


def test_infer_counts_rare_values_as_other_when_most_rows_are_frequent(tmp_path: Path) -> None:
    cities = [*["Rome", "Oslo"] * 450, *(f"village {number}" for number in range(100))]
    path = write(
        tmp_path / "a.csv",
        ["id", "city", "left"],
        [[n, city, "yes" if n % 3 else "no"] for n, city in enumerate(cities)],
    )
    contract, result = infer_file(path, key="id", label="left", positive="yes")
    assert contract.features == (Category(name="city", values=("Oslo", "Rome"), other="other"),)
    assert "count as `other`" in result.columns[1].notes[0]


def test_infer_finds_a_frequent_value_among_too_many_to_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(profiles, "MAX_COUNTED", 100)
    texts = [f"rare {number}" if number % 10 == 0 else "usual" for number in range(3_000)]
    rows = [[n, text, "NA" if n == 5 else n / 8, "yes" if n % 3 else "no"] for n, text in enumerate(texts)]
    path = write(tmp_path / "a.csv", ["id", "x", "n", "left"], rows)
    contract, result = infer_file(path, key="id", label="left", positive="yes")
    assert contract.features == (
        Category(name="x", values=("usual",), other="other"),
        Number(name="n", minimum=0, maximum=10_000, nullable=True),
    )
    assert result.columns[0].notes == ()
    assert result.columns[2].notes[0] == "0.0% blank (`NA` counts as blank)"


def test_profile_forgets_texts_that_are_rare_but_not_unique(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(profiles, "MAX_COUNTED", 100)
    profile = profiles.ColumnProfile("x")
    for start in range(0, 1_000, 50):
        profile.add(
            start % 2, [f"text {number}" for number in range(start, start + 50) for _ in range(3)] + ["usual"] * 9
        )
    assert sum(map(len, profile.counts)) <= 100
    assert profile.rows_with("usual") == 180


@pytest.mark.parametrize(
    ("positives", "negatives", "leak"),
    [
        (["3", "4"], ["52"], "each of its values has one label only"),
        (["2026", ""], [""], "has values for `yes` only"),
        ([""], ["a", "b", "c"], "each of its values"),
        ([""], ["1.5", "2.5", "1.7"], "each of its values"),
        (["7", "8", "9"], ["1", "2", "3", "4", "5", "6", "7"], "AUC of 0.9"),
        (["1", "2", "3"], ["3", "4", "5", "6", "7"], "AUC of 0.9"),
        (["a", "a", "a", "b"], ["b"], None),
        (["5", "6", "7"], ["4", "5", "6"], None),
        (["", "", "", "1"], ["1", "2"], None),
    ],
)
def test_infer_reports_a_column_that_tells_the_label(
    infer_column: Callable[..., tuple[Feature | None, InferredColumn]],
    positives: list[str],
    negatives: list[str],
    leak: str | None,
) -> None:
    texts = [
        positives[n // 3 % len(positives)] if label == "yes" else negatives[n % len(negatives)]
        for n, label in enumerate(LABELS)
    ]
    column = infer_column(texts)[1]
    assert leak in column.leak if leak and column.leak else column.leak is leak


@pytest.mark.parametrize(
    ("keys", "kind"),
    [(range(30), "integer"), ([f"{n:03}" for n in range(30)], "text"), ([f"+{n}" for n in range(30)], "text")],
)
def test_infer_key_is_an_integer_when_all_programs_write_it_so(
    tmp_path: Path, keys: Sequence[object], kind: str
) -> None:
    path = write(
        tmp_path / "a.csv", ["id", "x", "left"], [[key, n % 4, "yes" if n % 3 else "no"] for n, key in enumerate(keys)]
    )
    contract, _ = infer_file(path, key="id", label="left", positive="yes")
    assert (contract.key.name, contract.key.kind) == ("id", kind)


def test_infer_key_is_text_when_it_has_many_digits(tmp_path: Path) -> None:
    """JSON readers that use floating point would change it."""
    rows = [[10**16 + n, n % 4, "yes" if n % 3 else "no"] for n in range(30)]
    path = write(tmp_path / "a.csv", ["id", "x", "left"], rows)
    assert infer_file(path, key="id", label="left", positive="yes")[0].key.kind == "text"


def test_infer_reports_a_key_that_repeats(tmp_path: Path) -> None:
    path = write(
        tmp_path / "a.csv", ["id", "x", "left"], [[n % 20, n % 4, "yes" if n % 3 else "no"] for n in range(30)]
    )
    _, result = infer_file(path, key="id", label="left", positive="yes")
    assert result.columns[0].notes == ("several rows have the same key",)


def test_infer_word_for_null_is_a_value_in_texts_without_blanks(tmp_path: Path) -> None:
    """It is null in a text column with blanks, where the CSV reader cannot tell them apart."""
    rows = [["12?"[n % 3], "a?"[n % 2], ["a", "?", ""][n % 3], "yes" if n % 5 else "no"] for n in range(60)]
    path = write(tmp_path / "a.csv", ["number", "text", "blank", "left"], rows)
    contract, _ = infer_file(path, number_rows=True, label="left", positive="yes")
    assert contract.missing == ("?",)
    assert contract.features == (
        Integer(name="number", minimum=0, maximum=100, nullable=True),
        Category(name="text", values=("?", "a")),
        Category(name="blank", values=("a",), nullable=True),
    )


def test_infer_lists_likely_candidates_first(tmp_path: Path) -> None:
    rows = [
        [n % 20, f"m{n}", f"k{n}", n * 1.5, "ab"[n % 2], "xy"[n % 2], "no" if n % 3 == 0 else "yes"] for n in range(60)
    ]
    path = write(tmp_path / "a.csv", ["customerID", "mail", "row id", "fee", "sex", "churned", "paid"], rows)
    candidates = infer_contract(InferOptions(path), lambda _rows: None)
    assert isinstance(candidates, Candidates)
    assert candidates.keys == [
        *(KeyCandidate("row id", is_unique=True), KeyCandidate("mail", is_unique=True)),
        KeyCandidate("customerID", is_unique=False),
    ]
    assert [label.column for label in candidates.labels] == ["churned", "paid", "sex"]
    assert list(candidates.labels[1].values.items()) == [("yes", 40), ("no", 20)]


def test_infer_numbers_rows_when_asked(tmp_path: Path) -> None:
    path = write(tmp_path / "My Data-2.csv", ["x", "left"], [[n % 4, "yes" if n % 3 else "no"] for n in range(30)])
    contract, _ = infer_file(path, number_rows=True, label="left", positive="yes", entity="subscriber")
    assert (contract.key.name, contract.key.kind) == ("row_id", "integer")
    assert (contract.name, contract.entity) == ("my-data-2", "subscriber")
    assert contract.label.probability == "left_probability"


@pytest.mark.parametrize(
    ("times", "name", "role"),
    [
        (["2026-01-31T10:00:00Z", "2026-01-31T11:00:00.5+01:00"], "event_ts", "time"),
        (["2026-01-31", "2026-02-28"], "event_time", "left out"),
        (["2026-01-31T10:00:00Z", ""], "event_time", "left out"),
    ],
)
def test_infer_takes_event_time_from_the_file_when_valid(
    infer_column: Callable[..., tuple[Feature | None, InferredColumn]],
    tmp_path: Path,
    times: list[str],
    name: str,
    role: str,
) -> None:
    assert infer_column(times, "event_ts")[1].role == role
    assert decode_contract((tmp_path / "data.json").read_bytes()).time.name == name


def test_infer_segments_are_those_asked_for(tmp_path: Path) -> None:
    rows = [[f"k{n}", "ab"[n % 2], n % 9, "yes" if n % 3 else "no"] for n in range(60)]
    path = write(tmp_path / "a.csv", ["id", "plan", "age", "left"], rows)
    contract, result = infer_file(path, key="id", label="left", positive="yes")
    assert (contract.segments, list(result.possible_segments)) == ((), ["plan"])
    assert infer_file(path, key="id", label="left", positive="yes", segments=["plan"])[0].segments == ("plan",)
    done = run(path, *COMPLETE, "--segment", "age", "--out", str(tmp_path / "b.json"))
    assert (done.code, "`age` is not a category" in done.err) == (2, True)
    done = run(path, *COMPLETE, *["--segment", "plan"] * 5, "--out", str(tmp_path / "b.json"))
    assert (done.code, "at most 4" in done.err, (tmp_path / "b.json").exists()) == (2, True, False)


@needs_telco_data
def test_infer_on_telco_is_the_builtin_contract(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Except for the order of values, and what only the user knows."""
    monkeypatch.chdir(tmp_path)
    contract, result = infer_file(
        TELCO, out=Path("contract.json"), key="customerID", label="Churn", positive="Yes", entity="customer",
        name="telco-churn", segments=["Contract", "InternetService"],
    )  # fmt: skip
    assert _normalized(contract) == _normalized(replace(builtin_contract(), charge=None))
    assert [column.column for column in result.columns if column.leak or column.role == "left out"] == []


def _normalized(contract: Contract) -> Contract:
    """Return the contract with sorted values, and without the verb, the fill and the range of a nullable number."""
    features = list[Feature]()
    for feature in contract.features:
        if isinstance(feature, Category):
            features.append(replace(feature, values=tuple(sorted(feature.values))))
        elif isinstance(feature, Number) and feature.nullable:
            features.append(replace(feature, maximum=1e5, fill=None))
        else:
            features.append(feature)
    return replace(contract, features=tuple(features), label=replace(contract.label, verb=None))


@needs_foreign_data
@pytest.mark.parametrize("data", FOREIGN, ids=lambda data: data.name)
def test_infer_on_foreign_data_keeps_every_column(
    data: ForeignData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    contract, result = infer_file(data.path, number_rows=True, label=data.label, positive=data.positive)
    assert (result.rows, len(contract.features)) == (data.rows, data.features)
    assert [column.column for column in result.columns if column.leak] == []
    assert contract.missing == (("NA",) if data.name == "credit_data" else ())


@needs_telco_data
def test_infer_lists_key_and_label_of_telco_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    candidates = infer_contract(InferOptions(TELCO), lambda _rows: None)
    assert isinstance(candidates, Candidates)
    assert candidates.command.endswith("--key customerID --label Churn --positive Yes")


@needs_foreign_data
@pytest.mark.parametrize("data", FOREIGN, ids=lambda data: data.name)
def test_infer_lists_the_label_first_when_it_is_open(
    data: ForeignData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On three of four sets: nothing tells that `Remote` is a label."""
    monkeypatch.chdir(tmp_path)
    candidates = infer_contract(InferOptions(data.path), lambda _rows: None)
    assert isinstance(candidates, Candidates)
    assert candidates.keys == []
    best = next(iter(candidates.labels))
    if data.name != "stackoverflow":
        assert (best.column, next(iter(best.values))) == (data.label, data.positive)
    assert not list(tmp_path.iterdir())


def test_infer_exits_2_with_a_command_that_works_when_roles_are_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    rows = [[f"k{n}", n % 5, "ab"[n % 2], "left it" if n % 3 == 0 else "no"] for n in range(60)]
    path = write(tmp_path / "a file.csv", ["code", "age", "sex", "has left"], rows)
    done = run(path, "--output", "json", "--entity", "customer")
    assert done.code == 2
    candidates = json.loads(done.out)
    assert candidates["keys"] == [{"column": "code", "is_unique": True}]
    assert [label["column"] for label in candidates["labels"]] == ["has left", "sex"]
    assert candidates["labels"][0]["values"] == {"left it": 20, "no": 40}
    assert done.err == f"Error: Name {candidates['missing']}: {candidates['command']}\n"
    assert run_in_process(*shlex.split(candidates["command"])[1:], env={}).code == 0
    contract = decode_contract(Path("contract.json").read_bytes())
    assert (contract.key.name, contract.label.positive, contract.entity) == ("code", "left it", "customer")


def test_infer_lists_candidates_on_a_terminal(tmp_path: Path) -> None:
    rows = [[f"k{n}", "yes" if n % 3 == 0 else "no"] for n in range(60)]
    done = run(write(tmp_path / "a.csv", ["id", "left"], rows), "--key", "id")
    assert done.code == 2
    assert "left    yes (20 rows)    no (40 rows)" in done.out
    assert "--number-rows" not in done.out + done.err


SMALL = [[f"k{n}", n % 5, "yes" if n % 3 == 0 else "no"] for n in range(60)]


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("--key", "ID", "--label", "left", "--positive", "yes"), 2, "no column `ID`; did you mean `id`?"),
        (("--key", "id", "--label", "lest", "--positive", "yes"), 2, "no column `lest`; did you mean `left`?"),
        (("--key", "id", "--label", "age", "--positive", "1"), 2, "`age` has 5 values"),
        (("--key", "id", "--label", "id", "--positive", "1"), 2, "different columns"),
        (("--key", "id", "--label", "left", "--positive", "Yes"), 2, "the values `no` and `yes`"),
        (("--key", "id", "--number-rows"), 2, "without a key"),
        (("--positive", "yes"), 2, "`--label`"),
        ((*COMPLETE, "--name", "My Data"), 2, "lower-case"),
        ((*COMPLETE, "--entity", "a/b"), 2, "noun"),
        ((*COMPLETE, "--delimiter", "ab"), 2, "one character"),
        ((*COMPLETE, "--leave-out", "age"), 5, "no column to predict from"),
        ((*COMPLETE, "--leave-out", "sex"), 2, "no column `sex`"),
        ((*COMPLETE, "--leave-out", "left"), 2, "which is the key or the label"),
        ((*COMPLETE, "--out", "nowhere/a.json"), 2, "does not exist"),
    ],
)
def test_infer_refuses_wrong_options_in_one_line(
    tmp_path: Path, arguments: tuple[str, ...], code: int, words: str
) -> None:
    path = write(tmp_path / "a.csv", ["id", "age", "left"], SMALL)
    done = run(path, "--out", str(tmp_path / "contract.json"), *arguments)
    assert (done.code, done.out) == (code, "")
    assert words in done.err
    assert done.err.count("\n") == 1


@pytest.mark.parametrize(
    ("content", "code", "words"),
    [
        (b"", 5, "is empty"),
        (b"id,age,left\n", 5, "no rows"),
        (b"only\n1\n2\n", 5, "one column only"),
        (b"id,age,left\nk1,1,yes\nk2,2\n", 5, "line 3: 2 fields instead of 3"),
        (b"id,age,left\nk1,1,yes\n,,\nk2,2,no\n", 5, "line 3: all fields are blank"),
        (b"id,age,left\nk1,1,yes\nk2,2,\n", 2, "`left` has 1 value"),
        (b"id,age,left\nk1,1,yes\nk2,2,no\nk3,2,\n", 5, "`left` is blank in 1 row"),
        (b"id,age,left\nk1,1,yes\n,2,no\n", 5, "`id` is blank in 1 row"),
        (b"id,age,left\nk1,\xff,yes\n", 5, "line 2: not UTF-8"),
        (b"id,left,left\nk1,no,yes\n", 2, "2 columns `left`"),
        (b"id, left\nk1,no\n", 5, "1 name with white space at an end, such as ` left`"),
        (b"id;fee, EUR;left\nk1;2,5;yes\n", 2, "separated by semicolons, not by commas"),
        (b"id" + b";x" * 40_000 + b"\n", 2, "separated by semicolons"),
        (b"x" * 200_000, 5, "field larger than field limit"),
        (WIDE, 5, "more than 500 columns"),
        (gzip.compress(b"id,age,left\n", mtime=0), 5, "gunzip it first"),
        (b"PK\x03\x04...", 5, "save it as CSV"),
    ],
)
def test_infer_refuses_a_broken_file_in_one_line(tmp_path: Path, content: bytes, code: int, words: str) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(content)
    done = run(path, *COMPLETE, "--out", str(tmp_path / "contract.json"))
    assert (done.code, done.out) == (code, "")
    assert words in done.err
    assert done.err.count("\n") == 1
    assert not (tmp_path / "contract.json").exists()


@pytest.mark.parametrize("delimiter", [";", "\t", "|"])
def test_infer_names_the_delimiter_and_accepts_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, delimiter: str
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "a.csv", ["id", "age", "left"], SMALL, delimiter)
    done = run(Path("a.csv"), *COMPLETE)
    assert (done.code, done.out) == (2, "")
    command = done.err.strip().rpartition(": ")[2]
    assert run_in_process(*shlex.split(command)[1:], env={}).code == 0
    assert decode_contract(Path("contract.json").read_bytes()).features == (
        Integer(name="age", minimum=0, maximum=100),
    )


def test_infer_skips_blank_rows_at_the_end_and_the_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    rows = "".join(f"{','.join(map(str, row))}\r\n" for row in SMALL)
    path.write_bytes(f"\ufeffid,age,left\r\n{rows},,\r\n , ,\r\n\r\n".encode())
    contract, result = infer_file(path, key="id", label="left", positive="yes")
    assert (contract.key.name, result.rows, contract.features[0].nullable) == ("id", 60, False)


def test_infer_overwrites_a_contract_only_when_asked(tmp_path: Path) -> None:
    path, out = write(tmp_path / "a.csv", ["id", "age", "left"], SMALL), tmp_path / "contract.json"
    out.write_text("mine")
    done = run(path, *COMPLETE, "--out", str(out))
    assert (done.code, out.read_text()) == (2, "mine")
    assert "--replace" in done.err
    assert run(path, *COMPLETE, "--out", str(out), "--replace").code == 0
    assert decode_contract(out.read_bytes()).key.name == "id"


def test_infer_refuses_a_label_that_a_contract_cannot_name(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", ["id", "age", 'the "left"'], SMALL)
    done = run(path, *COMPLETE, "--label", 'the "left"')
    assert (done.code, 'rename `the "left"`' in done.err) == (2, True)


def test_infer_checks_the_output_before_it_reads_the_file(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", ["id", "age", "left"], SMALL)
    read = list[int]()
    with pytest.raises(UsageError, match="does not exist"):
        infer_contract(InferOptions(path, tmp_path / "no/a.json", "id", "left", "yes"), read.append)
    assert read == []


def test_infer_leaves_out_the_columns_named(tmp_path: Path) -> None:
    path = write(
        tmp_path / "a.csv",
        ["id", "age", "plan", "left"],
        [[*row[:2], "ab"[n % 2], row[2]] for n, row in enumerate(SMALL)],
    )
    contract, result = infer_file(path, key="id", label="left", positive="yes", left_out=["age"])
    assert [feature.name for feature in contract.features] == ["plan"]
    assert (result.columns[1].role, result.left_out) == ("left out", 1)


def test_infer_leaves_out_columns_of_the_same_name(tmp_path: Path) -> None:
    rows = [[*row[:2], n % 7, n % 4, row[2]] for n, row in enumerate(SMALL)]
    contract, _ = infer_file(
        write(tmp_path / "a.csv", ["id", "a", "a", "b", "left"], rows), key="id", label="left", positive="yes"
    )
    assert [feature.name for feature in contract.features] == ["b"]


def test_infer_needs_little_memory_for_many_texts(tmp_path: Path) -> None:
    draw = random.Random(1)
    rows = ([f"k{n}", *(draw.random() for _ in range(5)), "yes" if n % 3 else "no"] for n in range(100_000))
    path = write(tmp_path / "a.csv", ["id", *"abcde", "left"], list(rows))
    tracemalloc.start()
    try:
        infer_file(path, key="id", label="left", positive="yes")
        assert tracemalloc.get_traced_memory()[1] < path.stat().st_size * 3
    finally:
        tracemalloc.stop()
