"""Files with other columns, delimiters, keys and times, from CSV to the raw topic of a real Kafka."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from telco_stream.messages.codec import compile_contract
from tests.support.contracts import Document, edited, small
from tests.support.csv_files import HEADER, customer, write_table
from tests.support.in_process import run_in_process
from tests.support.topics import StoredRecord, Topics, read_topic

pytestmark = pytest.mark.real
NUMBERED_HEADER = HEADER.replace("customerID", "id")
TIMES = ["2026-01-31T12:00:00Z", "2026-01-31T17:30:00.5+05:30", "2026-02-01t00:00:00z"]


@pytest.fixture
def produce(kafka: str, topics: Topics) -> Callable[..., Any]:
    """Return a function that runs `produce` on a file and returns its result, or stderr if it fails."""

    def run(path: Path, *options: str, mode: str = "batch", code: int = 0) -> Any:
        command = ("produce", "--mode", mode, "--data-path", str(path), "--output", "json", *options)
        done = run_in_process(*command, env=topics.env(kafka))
        assert done.code == code, done.err
        return json.loads(done.out) if code == 0 else done.err

    return run


@pytest.fixture
def read(kafka: str, topics: Topics) -> Callable[[], list[StoredRecord]]:
    """Return a function that reads the raw topic in the order of sending."""
    return lambda: sorted(read_topic(kafka, topics.raw), key=lambda record: (record.timestamp, record.key or b""))


def write_contract(change: Callable[[Document], object] = lambda _: None) -> Path:
    path = Path("contract.json")
    path.write_bytes(edited(change))
    return path


def write_small(
    folder: Path, *lines: str, header: str = "account_id,plan,monthly_fee,data_gb,complaints,device"
) -> Path:
    return write_table(folder, *lines, header=header)


def test_numbers_of_rows_are_kept_when_a_pass_resumes(
    produce: Callable[..., Any], read: Callable[[], list[StoredRecord]], tmp_path: Path
) -> None:
    """They count bad rows, and rows of earlier runs; the file of bad rows has them as keys."""
    lines = [customer(customerID=str(number * 7)) for number in range(60)]
    lines[19] = customer(customerID="x", tenure="many")
    path = write_table(tmp_path, *lines[:30], "", *lines[30:], "," * 20, header=NUMBERED_HEADER)
    options = ("--number-rows", "--bad-rows", "bad.csv", "--batch-size", "8")
    assert produce(path, *options, "--limit", "25")["sent"] == 24
    result = produce(path, *options)
    assert (result["resumed_from"], result["sent"], result["rows_total"]) == (25, 35, 60)
    assert {record.key for record in read()} == {str(number).encode() for number in range(1, 61) if number != 20}

    bad = Path("bad.csv")
    assert bad.read_text().splitlines()[0] == f"line,reason,customerID,{NUMBERED_HEADER}"
    bad.write_text(bad.read_text().replace("many", "5"))
    assert "omit --number-rows" in produce(bad, "--number-rows", code=2)
    assert produce(bad)["sent"] == 1
    assert len({record.key for record in read()}) == 60
    assert all((record.key or b"").decode() == record.json()["customerID"] for record in read())


def test_stream_draws_numbered_rows(
    produce: Callable[..., Any], read: Callable[[], list[StoredRecord]], tmp_path: Path
) -> None:
    tenures = {str(number): number for number in range(1, 21)}
    path = write_table(tmp_path, *(customer(tenure=number) for number in tenures), header=NUMBERED_HEADER)
    produce(path, "--number-rows", "--limit", "200", "--events-per-sec", "0", mode="streaming")
    records = read()
    assert len(records) == 200
    assert all(tenures[(record.key or b"").decode()] == record.json()["tenure"] for record in records)


def test_batch_sends_the_times_of_the_file(
    produce: Callable[..., Any], read: Callable[[], list[StoredRecord]], tmp_path: Path
) -> None:
    path = write_table(
        tmp_path, *(f"{customer(customerID=time)},{time}" for time in TIMES), header=f"{HEADER},event_ts"
    )
    produce(path)
    assert [record.json()["event_ts"] for record in read()] == [(record.key or b"").decode() for record in read()]


def test_stream_sends_the_time_of_sending_when_the_file_has_times(
    produce: Callable[..., Any], read: Callable[[], list[StoredRecord]], tmp_path: Path
) -> None:
    path = write_table(tmp_path, f"{customer()},{TIMES[0]}", f"{customer()},yesterday", header=f"{HEADER},event_ts")
    produce(path, "--limit", "10", "--events-per-sec", "0", mode="streaming")
    assert len(read()) == 10
    assert not {record.json()["event_ts"] for record in read()} & {*TIMES, "yesterday"}


def test_values_of_a_file_become_those_of_its_contract(
    produce: Callable[..., Any], read: Callable[[], list[StoredRecord]], tmp_path: Path
) -> None:
    """Booleans in all spellings, missing words, an optional column and another delimiter."""
    booleans = {"true": True, "F": False, "t": True, "0": False, "1": True, "FALSE": False, "NA": None, " ": None}
    lines = [f"{number};basic;20;?;1;{text};NA;extra" for number, text in enumerate(booleans)]
    header = "account_id;plan;monthly_fee;data_gb;complaints;roaming;device;Extra"
    contract = write_contract()
    produce(write_small(tmp_path, *lines, header=header), "--contract", str(contract), "--delimiter", ";")
    values = sorted((record.json() for record in read()), key=lambda value: int(value["account_id"]))
    assert [value["roaming"] for value in values] == list(booleans.values())
    assert {(value["data_gb"], value["device"], value["plan"]) for value in values} == {(None, None, "basic")}
    assert list(values[0]) == [*header.split(";")[:-1], "event_ts"]
    decode = compile_contract(small()).events.decode
    assert [decode(json.dumps(value).encode()).key for value in values] == [
        str(value["account_id"]) for value in values
    ]


def test_missing_words_are_texts_when_null_is_refused(
    produce: Callable[..., Any], read: Callable[[], list[StoredRecord]], tmp_path: Path
) -> None:
    contract = ("--contract", str(write_contract()))
    produce(write_small(tmp_path, "1,NA,20,5,1,phone"), *contract)
    assert [record.json()["plan"] for record in read()] == ["NA"]
    assert "line 2: complaints is not a number" in produce(
        write_small(tmp_path, "1,basic,20,5,NA,phone"), *contract, code=5
    )


def test_produce_names_the_contract_when_it_is_another(produce: Callable[..., Any], tmp_path: Path) -> None:
    error = produce(write_table(tmp_path, customer()), "--contract", str(write_contract()), code=5)
    assert "missing column account_id, plan, monthly_fee and 3 more; the contract mobile-churn requires them." in error
    assert error.count("\n") == 1
    assert "Use --contract FILE" in error


@pytest.mark.parametrize("run_id", [(), ("--run-id", "mon")])
def test_pass_is_refused_when_its_contract_is_another(
    produce: Callable[..., Any], read: Callable[[], list[StoredRecord]], tmp_path: Path, run_id: tuple[str, ...]
) -> None:
    path = write_small(tmp_path, *(f"{number},basic,20,NA,1,phone" for number in range(20)))
    options = ("--contract", str(write_contract()), "--limit", "5", *run_id)
    produce(path, *options)
    write_contract(lambda document: document.update(missing=["NA"]))
    assert "has sent 5 rows with contract mobile-churn (" in produce(path, *options, code=5)
    write_contract(lambda document: document["features"][1].update(maximum=500))  # the messages are the same
    assert produce(path, *options)["resumed_from"] == 5
    assert produce(path, *options, "--restart")["sent"] == 5
    assert len(read()) == 15


def test_file_without_label_is_scored(kafka: str, topics: Topics, produce: Callable[..., Any], tmp_path: Path) -> None:
    lines = [customer(customerID=str(number)).rpartition(",")[0] for number in range(20)]
    produce(write_table(tmp_path, *lines, header=HEADER.rpartition(",")[0]))
    done = run_in_process("consume", "--mode", "batch", "--output", "json", env=topics.env(kafka))
    assert (done.code, json.loads(done.out)["predicted"]) == (0, 20), done.err
    assert {record.json()["customerID"] for record in read_topic(kafka, topics.predictions)} == set(map(str, range(20)))


def test_ignored_columns_are_logged_once(kafka: str, topics: Topics, tmp_path: Path) -> None:
    path = write_table(tmp_path, f"{customer()},x", header=f"{HEADER},Extra")
    command = ("produce", "--mode", "batch", "--data-path", str(path))
    assert run_in_process(*command, env=topics.env(kafka)).err.count("ignored columns: Extra") == 1
    assert "Extra" not in run_in_process(*command, "--quiet", env=topics.env(kafka)).err
