"""`report` on topics: the offsets that it reads and the files that it writes."""

import csv
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Broker
from tests.support.cli import run_cli
from tests.support.in_process import run_in_process
from tests.support.letters import letter
from tests.support.topics import Outgoing, Topics, read_topic, send

pytestmark = pytest.mark.slow

NOW = datetime.now(UTC)
HOURS = [1, 5, 30]
VERSION = "telco.dlq.model.version"
NO_BROKER = ("--broker", "127.0.0.1:1", "--timeout", "0.2")


def test_report_includes_only_answers_of_the_period(broker: Broker) -> None:
    send(broker.bootstrap, broker.topics.predictions, [prediction(f"{age} h", hours=age) for age in HOURS])
    assert customers(report(broker, "--since", "2h")) == {"1 h"}
    assert customers(report(broker, "--since", "2d", "--until", "90m")) == {"5 h", "30 h"}
    assert report(broker, "--since", "10s")["total"] == 0


def test_report_csv_has_the_counted_predictions(broker: Broker) -> None:
    send(broker.bootstrap, broker.topics.predictions, [prediction(str(age), hours=age) for age in HOURS])
    send(broker.bootstrap, broker.topics.predictions, [("x", "no prediction", []), prediction("z", version="v2")])
    summary = report(broker, "--since", "1d", "--model-version", "v1", "--csv", "out.csv")
    with Path("out.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    stored = [
        record.json()
        for record in read_topic(broker.bootstrap, broker.topics.predictions)
        if record.key in {b"1", b"5"}
    ]
    assert summary["total"] == len(rows) == 2
    expected = [{name: str(value[name]) for name in value} | {"control": ""} for value in stored]
    assert sorted(rows, key=str) == sorted(expected, key=str)


def test_report_writes_only_the_csv_to_stdout_when_asked(broker: Broker) -> None:
    send(broker.bootstrap, broker.topics.predictions, [prediction("a"), ("x", "no prediction", [])])
    env = broker.topics.env(broker.bootstrap)
    done = run_cli("report", "--csv", "-", "--html", "out.html", env=env)
    rows = list(csv.DictReader(done.stdout.splitlines()))
    assert (done.returncode, [row["customerID"] for row in rows]) == (0, ["a"])
    assert "1 values of the topic are not predictions" in done.stderr
    assert done.stderr.endswith("Wrote out.html.\n")
    assert "</html>" in run_cli("report", "--html", "-", "--quiet", env=env).stdout[-20:]
    assert [path.name for path in Path().iterdir()] == ["out.html"]


@pytest.mark.parametrize(
    ("options", "reason"), [(["--output", "json"], "--output json"), (["--html", "-"], "Two output files")]
)
def test_report_exits_2_when_stdout_has_two_results(options: list[str], reason: str) -> None:
    done = run_in_process("report", "--csv", "-", *options, *NO_BROKER)
    assert (done.code, done.out, done.err.count("\n")) == (2, "", 1)
    assert reason in done.err


def test_report_page_has_numbers_and_offsets_of_both_topics(broker: Broker) -> None:
    send(broker.bootstrap, broker.topics.predictions, [prediction(str(age), hours=age) for age in HOURS])
    letters = [letter(at=(NOW - timedelta(hours=age)).isoformat(), key=None).value() for age in HOURS]
    send(broker.bootstrap, broker.topics.deadletter, [(None, value, [(VERSION, b"v1")]) for value in letters])
    send(broker.bootstrap, broker.topics.deadletter, [(None, letters[0], [(VERSION, b"v2")])])
    summary = report(broker, "--since", "6h", "--model-version", "v1", "--html", "out.html", "--csv", "out.csv")
    page = Path("out.html").read_text()
    assert summary["total"] == 2
    assert '<data value="2" data-name="total">' in page
    assert '<data value="2" data-name="dead_letters">' in page
    letters_read = page.partition(f'<th scope="rowgroup" colspan="3">{broker.topics.deadletter}</th>')[2]
    assert '<th scope="row">0</th><td class="number">0</td><td class="number">4</td>' in letters_read
    assert Path("out.csv").read_text().count("\n") == 3


def test_report_writes_a_page_when_the_topic_is_empty(broker: Broker) -> None:
    assert report(broker, "--html", "out.html")["total"] == 0
    assert "There are no predictions to report." in Path("out.html").read_text()


def test_report_reads_the_period_before_for_comparison(broker: Broker) -> None:
    send(broker.bootstrap, broker.topics.predictions, [prediction(f"{age} h", hours=age) for age in HOURS])
    summary = report(broker, "--since", "3h", "--csv", "out.csv", "--html", "out.html")
    assert (summary["total"], summary["previous"]["total"], summary["previous"]["flagged"]) == (1, 1, 1)
    assert Path("out.csv").read_text().count("\n") == 2
    assert "previous" not in report(broker)


def test_report_exits_2_when_a_column_is_unknown(broker: Broker) -> None:
    send(broker.bootstrap, broker.topics.predictions, [prediction("a")])
    done = cli(broker, "--by", "contract")
    assert (done.code, done.out) == (2, "")
    assert "no column 'contract' to group by; they have Contract, InternetService, model_version" in done.err
    assert list(report(broker, "--by", "model_version")["segments"]) == ["model_version"]


def test_report_shows_which_contacts_pay(broker: Broker) -> None:
    send(broker.bootstrap, broker.topics.predictions, [prediction("a"), prediction("b")])
    plan = report(broker, "--contact-cost", "5", "--customer-value", "100")["contact_plan"]
    assert plan == {
        "contact_cost": 5.0,
        "customer_value": 100.0,
        "threshold": 0.05,
        "customers": 2,
        "expected_leavers": 1.5,
        "expected_profit": 140.0,
    }


@pytest.mark.parametrize("option", ["--contact-cost", "--customer-value"])
def test_report_exits_2_when_one_of_both_costs_is_missing(option: str) -> None:
    done = run_in_process("report", option, "5", *NO_BROKER)
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert "--contact-cost and --customer-value belong together" in done.err


def test_report_exits_2_when_both_files_are_the_same() -> None:
    done = run_in_process("report", "--html", "a", "--csv", "./a", *NO_BROKER)
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert "can't both be" in done.err


def test_report_checks_the_model_before_it_connects() -> None:
    done = run_in_process("report", "--html", "a", "--model", "nowhere", *NO_BROKER)
    assert (done.code, done.err.count("\n"), list(Path().iterdir())) == (4, 1, [])


def test_report_leaves_no_file_when_a_topic_is_missing(kafka: str, topics: Topics) -> None:
    env = {**topics.env(kafka), "TELCO_STREAM_TOPICS__DEADLETTER": "no-such-topic"}
    done = run_in_process("report", "--html", "a", env=env)
    assert (done.code, list(Path().iterdir())) == (3, [])
    assert "no-such-topic" in done.err


def test_report_leaves_no_file_when_the_version_is_unknown(broker: Broker, tmp_path: Path) -> None:
    send(broker.bootstrap, broker.topics.predictions, [prediction("a")])
    done = cli(broker, "--model-version", "v9", "--csv", "out.csv", "--html", "out.html")
    assert (done.code, done.out) == (2, "")
    assert done.err == "Error: No prediction here has model version 'v9': there are predictions of v1\n"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("option", ["--csv", "--html"])
def test_report_checks_its_files_before_it_connects(option: str, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("mine")
    for path in ("folder", "file/below", "missing/out"):
        done = run_in_process("report", option, str(tmp_path / path), *NO_BROKER)
        assert (done.code, done.out, done.err.count("\n")) == (2, "", 1)
        assert "Cannot write" in done.err
    assert (tmp_path / "file").read_text() == "mine"
    assert not (tmp_path / "missing").exists()


def test_report_keeps_an_old_file_when_kafka_does_not_answer(tmp_path: Path) -> None:
    (tmp_path / "out.csv").write_text("of yesterday")
    assert run_in_process("report", "--csv", str(tmp_path / "out.csv"), *NO_BROKER).code == 3
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("out.csv", "of yesterday")]


def prediction(name: str, *, hours: float = 0.1, version: str = "v1") -> Outgoing:
    """Return a prediction with a time that is `hours` ago."""
    value = {
        "customerID": name,
        "churn_probability": 0.75,
        "prediction": "Yes",
        "event_ts": "2020-01-01T00:00:00Z",
        "processed_ts": (NOW - timedelta(hours=hours)).isoformat(),
        "model_version": version,
        "Contract": "One year",
        "InternetService": "DSL",
    }
    return name, json.dumps(value), []


def customers(summary: dict[str, Any]) -> set[str]:
    return {customer["customerID"] for customer in summary["top"]}


def report(broker: Broker, *options: str) -> dict[str, Any]:
    done = cli(broker, *options)
    assert done.code == 0, done.err
    summary: dict[str, Any] = json.loads(done.out)
    return summary


def cli(broker: Broker, *options: str) -> Any:
    return run_in_process("report", "--output", "json", *options, env=broker.topics.env(broker.bootstrap))
