"""`report` on a topic: which of it is read, and the files that it leaves."""

import csv
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Broker
from tests.support.cli import run_cli
from tests.support.letters import letter
from tests.support.topics import Outgoing, Topics, read_topic, send

pytestmark = pytest.mark.slow

NOW = datetime.now(UTC)
HOURS = [1, 5, 30]
VERSION = "telco.dlq.model.version"
NOWHERE = ("--broker", "127.0.0.1:1", "--timeout", "0.2")


def test_a_report_of_a_period_is_that_of_its_answers_only(broker: Broker) -> None:
    send(broker.bootstrap, broker.topics.predictions, [prediction(f"{age} h", hours=age) for age in HOURS])
    assert customers(report(broker, "--since", "2h")) == {"1 h"}
    assert customers(report(broker, "--since", "2d", "--until", "90m")) == {"5 h", "30 h"}
    assert report(broker, "--since", "10s")["total"] == 0


def test_the_csv_holds_what_the_report_counts(broker: Broker) -> None:
    send(broker.bootstrap, broker.topics.predictions, [prediction(str(age), hours=age) for age in HOURS])
    send(broker.bootstrap, broker.topics.predictions, [("x", "no prediction", []), prediction("z", version="v2")])
    told = report(broker, "--since", "1d", "--model-version", "v1", "--csv", "new/out.csv")
    with Path("new/out.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    kept = [one.json() for one in read_topic(broker.bootstrap, broker.topics.predictions) if one.key in {b"1", b"5"}]
    assert told["total"] == len(rows) == 2
    assert sorted(rows, key=str) == sorted(({name: str(one[name]) for name in one} for one in kept), key=str)


def test_the_page_tells_of_both_topics_and_what_was_read_of_them(broker: Broker) -> None:
    send(broker.bootstrap, broker.topics.predictions, [prediction(str(age), hours=age) for age in HOURS])
    letters = [letter(at=(NOW - timedelta(hours=age)).isoformat(), key=None).value() for age in HOURS]
    send(broker.bootstrap, broker.topics.deadletter, [(None, value, [(VERSION, b"v1")]) for value in letters])
    send(broker.bootstrap, broker.topics.deadletter, [(None, letters[0], [(VERSION, b"v2")])])
    told = report(broker, "--since", "6h", "--model-version", "v1", "--html", "out.html", "--csv", "out.csv")
    page = Path("out.html").read_text()
    assert told["total"] == 2
    assert '<data value="2" data-name="total">' in page
    assert '<data value="2" data-name="dead_letters">' in page
    assert f'<th scope="row">{broker.topics.deadletter}</th><td class="number">0</td>' in page
    assert '<td class="number">4</td>' in page
    assert Path("out.csv").read_text().count("\n") == 3


def test_an_empty_topic_makes_a_page_too(broker: Broker) -> None:
    assert report(broker, "--html", "out.html")["total"] == 0
    assert "There are no predictions to report." in Path("out.html").read_text()


def test_a_page_and_a_table_are_two_files() -> None:
    done = run_cli("report", "--html", "a", "--csv", "./a", *NOWHERE)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "can't both be" in done.stderr


def test_a_model_that_cannot_be_read_is_said_before_kafka_is_asked() -> None:
    done = run_cli("report", "--html", "a", "--model", "nowhere", *NOWHERE)
    assert (done.returncode, done.stderr.count("\n"), list(Path().iterdir())) == (4, 1, [])


def test_a_topic_that_is_missing_leaves_no_file(kafka: str, topics: Topics) -> None:
    env = {**topics.env(kafka), "TELCO_STREAM_TOPICS__DEADLETTER": "no-such-topic"}
    done = run_cli("report", "--html", "a", env=env)
    assert (done.returncode, list(Path().iterdir())) == (3, [])
    assert "no-such-topic" in done.stderr


def test_a_model_version_that_is_not_there_leaves_no_file(broker: Broker, tmp_path: Path) -> None:
    send(broker.bootstrap, broker.topics.predictions, [prediction("a")])
    done = cli(broker, "--model-version", "v9", "--csv", "out.csv", "--html", "out.html")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "Error: No prediction here has model version 'v9': there are predictions of v1\n"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("option", ["--csv", "--html"])
def test_a_file_that_cannot_be_written_is_said_before_kafka_is_asked(option: str, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("mine")
    for place in ("folder", "file/below"):
        done = run_cli("report", option, str(tmp_path / place), *NOWHERE)
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
        assert "Cannot write" in done.stderr
    assert (tmp_path / "file").read_text() == "mine"


def test_a_file_that_is_there_stays_where_kafka_does_not_answer(tmp_path: Path) -> None:
    (tmp_path / "out.csv").write_text("of yesterday")
    assert run_cli("report", "--csv", str(tmp_path / "out.csv"), *NOWHERE).returncode == 3
    assert [(one.name, one.read_text()) for one in tmp_path.iterdir()] == [("out.csv", "of yesterday")]


def prediction(name: str, *, hours: float = 0.1, version: str = "v1") -> Outgoing:
    """Made so many hours ago."""
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


def customers(told: dict[str, Any]) -> set[str]:
    return {one["customerID"] for one in told["top"]}


def report(broker: Broker, *words: str) -> dict[str, Any]:
    done = cli(broker, *words)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def cli(broker: Broker, *words: str) -> Any:
    return run_cli("report", "--output", "json", *words, env=broker.topics.env(broker.bootstrap))
