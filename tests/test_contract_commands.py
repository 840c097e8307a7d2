"""`telco-stream contract`: what it shows, and its exit codes."""

import io
import json
import os
from pathlib import Path

import pytest

from telco_stream.contract.document import builtin_content, decode_contract, json_schema
from telco_stream.display.console import Screen
from tests.support.cli import run_cli
from tests.support.contracts import SMALL, Document, Edit, edited, small
from tests.support.in_process import CompletedRun, run_in_process
from tests.support.model_folder import copy_model, replace_artifact

_HOSTILE = {
    "empty": b"",
    "invalid-utf-8": b'{"contract": 1, "name": "\xff"}',
    "nested": b'{"contract":' + b"[" * 500_000,
    "large": b" " * (1 << 21),
    "unknown-key": edited(lambda document: document.update(segmnts=[])),
    "backtick": edited(lambda document: document["features"][5].update(name="a`b")),
    "quote": edited(lambda document: document["features"][5].update(name='a"b')),
    "line-separator": edited(lambda document: document["features"][5].update(name="a\u2028b")),
    "same-segments": edited(
        lambda document: [document["features"][5].update(name="Plan"), document.update(segments=["plan", "Plan"])]
    ),
    "long-value": edited(lambda document: document["features"][5].update(values=["x" * 5_000])),
    "beyond-single": edited(lambda document: document["features"][1].update(maximum=1e39)),
    "beyond-double": edited(lambda _: None).replace(b"10000,", b"1e400,"),
    "nan": edited(lambda _: None).replace(b"10000,", b"NaN,"),
    "infinity": edited(lambda _: None).replace(b"10000,", b"Infinity,"),
}


def check(*arguments: str) -> CompletedRun:
    return run_in_process("contract", "check", *arguments, env={"COLUMNS": "80"})


def show(*arguments: str) -> CompletedRun:
    return run_in_process("contract", "show", *arguments, env={"COLUMNS": "80"})


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Return the path of the small telco's contract."""
    path = tmp_path / "contract.json"
    path.write_bytes(edited(lambda _: None))
    return path


def test_check_summarizes_a_valid_contract(file: Path) -> None:
    done = check(str(file))
    assert (done.code, done.err) == (0, "")
    assert "The contract is valid." in done.out
    assert "6: 2 numbers, 1 integer, 1 boolean, 2 categories" in done.out
    summary = json.loads(check(str(file), "--output", "json").out)
    assert (summary["key"], summary["segments"]) == ("account_id", ["plan", "roaming"])


def test_check_warns_of_names_that_look_the_same(file: Path) -> None:
    names = {2: "Caf\u00e9", 5: "Cafe\u0301"}
    file.write_bytes(edited(lambda document: [document["features"][i].update(name=name) for i, name in names.items()]))
    done = check(str(file))
    assert done.code == 0
    assert done.err == f"Warning: {file}: 2 columns have names that look like `Café`\n"


def test_check_prints_one_line_for_each_error(file: Path) -> None:
    file.write_bytes(edited(lambda document: [document.pop("time"), document["features"][3].update(kind="float")]))
    done = check(str(file))
    assert (done.code, done.out) == (2, "")
    first, second = done.err.splitlines()
    assert first == f"Error: {file}: `time` is missing"
    assert second.startswith(f"Error: {file}: line 41: features[3]: `kind` is 'float'; it must be one of number,")


@pytest.mark.parametrize("name", _HOSTILE)
def test_check_exits_2_when_the_file_is_hostile(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(_HOSTILE[name])
    done = check(str(tmp_path / name))
    assert (done.code, done.out, done.err.count("\n")) == (2, "", 1)
    assert done.err.startswith(f"Error: {tmp_path / name}: ")
    assert len(done.err) < 600


def test_check_prints_at_most_21_lines(file: Path) -> None:
    file.write_bytes(edited(lambda document: [document.update({f"x{number}": 1}) for number in range(5_000)]))
    lines = check(str(file)).err.splitlines()
    assert len(lines) == 21
    assert lines[-1] == f"Error: {file}: … and 4,980 more"


@pytest.mark.parametrize("against", [False, True])
def test_check_exits_2_when_it_is_not_a_file(against: bool, file: Path, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    for name, reason in {
        "missing": "No such file or directory",
        "folder": "it is a folder",
        "pipe": "it is not a regular file",
    }.items():
        done = check(str(file), "--against", str(tmp_path / name)) if against else check(str(tmp_path / name))
        assert (done.code, done.out, done.err) == (2, "", f"Error: Cannot read {tmp_path / name}: {reason}\n")


def test_check_takes_less_than_a_second_of_cpu_time(tmp_path: Path) -> None:
    """With the start of Python."""
    keys = "".join(f',"{number}":1' for number in range(90_000))
    (tmp_path / "contract.json").write_text(f'{{"contract":1{keys}}}')
    before = os.times()
    assert run_cli("contract", "check", "contract.json", cwd=tmp_path).returncode == 2
    after = os.times()
    assert after.children_user + after.children_system - before.children_user - before.children_system < 2


@pytest.mark.parametrize(
    ("edit", "code", "verdict"),
    [
        (lambda _: None, 0, "compatible"),
        (lambda document: document.update(entity="customer"), 0, "compatible"),
        (lambda document: document["features"][1].update(maximum=2000), 0, "needs retraining"),
        (lambda document: document["features"][1].update(maximum=500), 5, "breaking"),
    ],
)
def test_check_against_exits_5_when_a_change_is_breaking(edit: Edit, code: int, verdict: str, file: Path) -> None:
    new = file.with_name("new.json")
    new.write_bytes(edited(edit))
    done = check(str(new), "--against", str(file), "--output", "json")
    assert (done.code, json.loads(done.out)["verdict"]) == (code, verdict)
    assert done.err.startswith({"compatible": "", "needs retraining": "To use it, ", "breaking": "Error: "}[verdict])


def test_check_against_shows_a_row_for_each_change(file: Path) -> None:
    new = file.with_name("new.json")
    new.write_bytes(edited(lambda document: [document["features"].pop(2), document["features"][1].update(maximum=500)]))
    done = check(str(new), "--against", str(file))
    assert max(map(len, done.out.splitlines())) <= 80
    rows = [line.split("  ")[0].strip() for line in done.out.splitlines()]
    assert [row for row in rows if row in {"breaking", "needs retraining"}] == ["breaking", "needs retraining"]
    assert done.err == f"Error: {new} is not compatible with {file}: 1 of 2 changes are breaking\n"
    assert "The contracts are the same." in check(str(file), "--against", str(file)).out


def test_show_writes_the_built_in_contract() -> None:
    done = show("--output", "json")
    assert (done.code, done.out.encode()) == (0, builtin_content())


def test_show_writes_a_contract_that_check_accepts(file: Path) -> None:
    written = show("--contract", str(file), "--output", "json").out
    assert decode_contract(written.encode()) == small()


def test_show_writes_the_contract_of_the_model(tmp_path: Path) -> None:
    folder = copy_model(tmp_path)
    contract = builtin_content().replace(b'"telco-churn"', b'"telco-two"')
    replace_artifact(folder, "contract.json", contract)
    assert show("--model", str(folder), "--output", "json").out.encode() == contract


@pytest.mark.parametrize("name", _HOSTILE)
def test_show_exits_4_when_the_contract_of_the_model_is_hostile(name: str, tmp_path: Path) -> None:
    folder = copy_model(tmp_path)
    replace_artifact(folder, "contract.json", _HOSTILE[name])
    done = show("--model", str(folder))
    assert (done.code, done.out, done.err.count("\n")) == (4, "", 1)
    assert done.err.startswith(f"Error: {folder / 'contract.json'} is not a contract (")
    assert len(done.err) < 700


def test_show_escapes_characters_that_the_encoding_lacks() -> None:
    contract = small(lambda document: document["features"][5].update(name="Größe"))
    out = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    Screen("json", streams=(out, io.StringIO())).show(contract)
    assert decode_contract(out.buffer.getvalue() if isinstance(out.buffer, io.BytesIO) else b"") == contract


def test_show_draws_a_row_for_each_column(file: Path) -> None:
    done = show("--contract", str(file))
    assert max(map(len, done.out.splitlines())) <= 80
    names = [line.split()[0] for line in done.out.splitlines() if line.strip()]
    columns = ["account_id", "event_ts", *(feature["name"] for feature in SMALL["features"]), "region", "left"]
    assert names[-len(columns) :] == columns
    assert "phone, tablet; null; unknown as rest" in done.out
    assert "0 to 10,000; null as 0" in done.out


def test_show_shortens_long_values_and_escapes_names(file: Path) -> None:
    def edit(document: Document) -> None:
        document["features"][5] |= {
            "name": "a\u202eb" + "x" * 100,
            "other": None,
            "values": [f"value {n}" for n in range(5_000)],
        }

    file.write_bytes(edited(edit))
    out = show("--contract", str(file)).out
    assert max(map(len, out.splitlines())) <= 80
    assert "value 0, value 1…; null" in out
    assert "\u202e" not in out


def test_show_writes_the_json_schema() -> None:
    assert show("--schema").out == json_schema()


def test_show_exits_2_when_both_model_and_contract_are_given(file: Path) -> None:
    done = show("--contract", str(file), "--model", "models/churn")
    assert (done.code, done.out) == (2, "")
    assert done.err == "Error: --model and --contract both name a contract; use one of them\n"


def test_show_prints_the_errors_of_a_broken_contract(file: Path) -> None:
    file.write_bytes(b"{}")
    done = show("--contract", str(file))
    assert (done.code, done.out) == (2, "")
    assert "so this is not a contract" in done.err
