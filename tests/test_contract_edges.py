"""Contracts, model folders and files that once were misread, or read without end."""

import json
import os
import time
from pathlib import Path

import pytest

from telco_stream.contract.document import ContractError, builtin_content, decode_contract
from telco_stream.contract.events import BAD_DATA
from telco_stream.contract.inference.texts import shape_of
from telco_stream.errors import ModelError
from telco_stream.messages.codec import Codec
from telco_stream.model.artifact import load_scorer, read_contract
from tests.support.in_process import run_in_process
from tests.support.model_folder import copy_model


@pytest.mark.parametrize("name", ["contract.json", "manifest.json", "pipeline.onnx"])
def test_model_folder_is_refused_when_it_holds_a_pipe(tmp_path: Path, name: str) -> None:
    folder = copy_model(tmp_path)
    (folder / name).unlink()
    os.mkfifo(folder / name)
    with pytest.raises(ModelError, match=rf"{name} is not a regular file"):
        load_scorer(folder)
    if name != "pipeline.onnx":
        with pytest.raises(ModelError, match=name):
            read_contract(folder)


def test_repeated_key_is_found_at_once_among_many() -> None:
    keys = ",".join(f'"k{number}":1' for number in range(90_000))
    started = time.process_time()
    with pytest.raises(ContractError, match="`k1` twice"):
        decode_contract(f'{{"contract":1,{keys},"k1":2}}'.encode())
    assert time.process_time() - started < 1


@pytest.mark.parametrize("depth", [*range(940, 1_010, 5), 100_000])
def test_deep_nesting_is_an_error_at_any_depth(depth: int) -> None:
    with pytest.raises(ContractError):
        decode_contract(builtin_content()[:-3] + b',"z":' + b'{"a":' * depth + b"1" + b"}" * depth + b"}")


@pytest.mark.parametrize(
    ("header", "row", "more", "name"),
    [
        ("id,y,a,event_ts", "2026-01-01T00:00:00Z", (), "event_ts"),
        ("id,y,a,event_ts", "2026-01-01T00:00:00Z", ("--leave-out", "event_ts"), "event_time"),
        ("id,y,a,event_ts,event_ts", "2026-01-01T00:00:00Z", (), "event_time"),
        ("id,y,a,event_ts,event_time,sent_at", "soon", (), "event_ts_2"),
    ],
)
def test_infer_names_a_time_that_the_file_does_not_contradict(
    tmp_path: Path, header: str, row: str, more: tuple[str, ...], name: str
) -> None:
    times = "".join(f",{row}" for _ in range(header.count(",") - 2))
    rows = [f"k{n},{n % 2},{n}.5{times}" for n in range(40)]
    (tmp_path / "a.csv").write_text("\n".join([header, *rows, ""]))
    roles = ("--key", "id", "--label", "y", "--positive", "1", "--out", str(tmp_path / "c.json"), *more)
    done = run_in_process("contract", "infer", str(tmp_path / "a.csv"), *roles, env={})
    assert done.code == 0, done.err
    assert json.loads((tmp_path / "c.json").read_text())["time"] == {"name": name}


def test_infer_does_not_overwrite_its_file(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("id,y,a\nk1,0,1\nk2,1,2\n")
    options = ("--key", "id", "--label", "y", "--positive", "1", "--out", str(path), "--replace")
    assert run_in_process("contract", "infer", str(path), *options, env={}).code == 2
    assert path.read_text().startswith("id,y,a")


def test_infer_names_no_data_when_the_header_is_missing(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("7590,Ann Smith,ann@x.org\n7591,Bob,bob@x.org\n")
    done = run_in_process("contract", "infer", str(path), "--key", "id", "--label", "y", "--positive", "1", env={})
    assert (done.code, "Ann" in done.out + done.err) == (2, False)


@pytest.mark.parametrize("text", ["a@" + "x." * 60_000 + " y", "1" * 100_000 + "x", "1.1/" * 30_000])
def test_shape_of_a_long_text_is_found_at_once(text: str) -> None:
    started = time.process_time()
    assert shape_of(text) == "text"
    assert time.process_time() - started < 0.5


def test_range_in_a_message_is_exact() -> None:
    contract = json.loads(builtin_content())
    contract["features"] = [{"kind": "number", "name": "a", "minimum": 0.5, "maximum": 0.6, "nullable": True}]
    del contract["segments"], contract["charge"]
    codec = Codec(decode_contract(json.dumps(contract).encode())).events
    value = b'{"customerID":"a","a":"0.7","event_ts":"2026-01-01T00:00:00Z"}'
    with pytest.raises(BAD_DATA[0], match=r"from 0\.5 to 0\.6"):
        codec.decode(value)
