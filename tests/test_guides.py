"""The pages with command lines for a real Kafka: each line works, and what the pages say of the end is so."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest

from tests.support.cli import ROOT, run_cli
from tests.support.kafka_container import IMAGE, SMALL, why_no_container
from tests.support.pages import command_lines
from tests.support.ports import free_port
from tests.support.shell import copy_checkout, type_lines, with_commands, write_commands, write_program
from tests.support.topics import Topics, delete_topics, fresh_topics

#: Lines that aren't typed, and why.
NOT_TYPED = {
    "make demo": "it would install anew; test_wheel.py runs the demo from any directory",
    "make up": "compose/test/pipeline does",
    r"\. \.venv/bin/activate": "`telco-stream` is on the path here",
    rf"docker run .* {re.escape(IMAGE)}": "the test has a Kafka of the same image",
    "docker rm .* telco-kafka": "it is not there",
}

#: Fast starts matter here, and top speed doesn't.
QUICK_JVM = [
    f"--env=KAFKA_JVM_PERFORMANCE_OPTS={SMALL['jvm_performance_opts']}",
    "--env=KAFKA_HEAP_OPTS=-Xmx128m",
]
TOOLS = ["topics", "consumer-groups", "console-consumer", "get-offsets", "transactions"]


@pytest.fixture(scope="session")
def commands(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with `telco-stream` and Kafka's own tools, which reach the broker from a container on this network."""
    if reason := _what_is_missing():
        _leave(reason)
    run = ["docker", "run", "--detach", "--rm", "--init", "--network", "host", *QUICK_JVM, IMAGE, "sleep", "infinity"]
    container = subprocess.run(run, check=True, capture_output=True, text=True).stdout.strip()
    folder, docker = write_commands(tmp_path_factory.mktemp("commands")), shutil.which("docker")
    for tool in TOOLS:
        line = f'exec {docker} exec -i {container} /opt/kafka/bin/kafka-{tool}.sh "$@"'
        write_program(folder / f"kafka-{tool}.sh", line)
    # `docker exec telco-kafka …` reaches this container, whatever it is called.
    write_program(folder / "docker", f'shift 2; exec {docker} exec -i {container} "$@"')
    yield folder
    subprocess.run(["docker", "rm", "--force", "--volumes", container], check=True, capture_output=True)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of the code, of the sample and of the model, to be changed by a page."""
    return copy_checkout(tmp_path)


@pytest.fixture
def names(kafka: str) -> Iterator[Topics]:
    """The topics of one page; none of them is there yet."""
    names = fresh_topics()
    yield names
    delete_topics(kafka, names)
    delete_topics(kafka, _of_the_second_scoring(names))


def test_the_page_for_operators_can_be_typed(kafka: str, names: Topics, commands: Path, tmp_path: Path) -> None:
    """At its end 20 inputs have been skipped, and one bad record has come back once."""
    _type(ROOT / "docs/operations.md", kafka, names, commands, tmp_path)
    ledger = _ask("verify", names, kafka, exit_code=5)
    assert (ledger["missing"], ledger["duplicated"], ledger["unexplained"]) == (20, 0, 0)
    assert ledger["dead_lettered"] == 2
    status = _ask("status", names, kafka)
    assert (status["lag"], status["members"]) == (0, 0)
    again = _ask("verify", _of_the_second_scoring(names), kafka)
    assert again["inputs"] == again["predicted"] + again["dead_lettered"] > 20_000


def test_the_guide_for_newcomers_can_be_typed(kafka: str, names: Topics, commands: Path, tmp_path: Path) -> None:
    """At its end 31 inputs have one answer each, as the page says."""
    _type(ROOT / "docs/kafka-guide.md", kafka, names, commands, tmp_path)
    ledger = _ask("verify", names, kafka)
    assert (ledger["inputs"], ledger["predicted"], ledger["dead_lettered"]) == (31, 30, 1)


def test_the_tutorial_can_be_typed(kafka: str, names: Topics, commands: Path, checkout: Path) -> None:
    """At its end a copy of the code is as it was, and 525 inputs have one answer each."""
    before = (checkout / "telco_stream/contracts/customer.py").read_text()
    written = _type(ROOT / "docs/tutorial.md", kafka, names, commands, checkout)
    assert "Unknown category - at `$.Contract`" in " ".join(written.split())
    assert "still failing: 5" in written
    assert "already replayed: 5" in written
    ledger = _ask("verify", names, kafka)
    assert (ledger["inputs"], ledger["predicted"], ledger["dead_lettered"]) == (525, 520, 5)
    assert (checkout / "telco_stream/contracts/customer.py").read_text() == before
    assert {path.name for path in checkout.iterdir()} == {"telco_stream", "data", "models", "output"}
    assert not (checkout / "models/three-year").exists()


def test_the_quick_start_can_be_typed(kafka: str, names: Topics, commands: Path, tmp_path: Path) -> None:
    """At its end the sample's 1,000 customers, and 20 more, have one answer each."""
    _type(ROOT / "docs/quick-start.md", kafka, names, commands, tmp_path)
    ledger = _ask("verify", names, kafka)
    assert (ledger["inputs"], ledger["predicted"]) == (1_020, 1_020)


def test_the_references_examples_can_be_typed(kafka: str, topics: Topics, commands: Path, tmp_path: Path) -> None:
    for page in ("docs/commands.md", "docs/configuration.md"):
        _type(ROOT / page, kafka, topics, commands, tmp_path)
    ledger = _ask("verify", topics, kafka)
    assert (ledger["inputs"], ledger["predicted"]) == (1_100, 1_100)


def test_the_page_about_the_report_can_be_typed(kafka: str, topics: Topics, commands: Path, tmp_path: Path) -> None:
    _type(ROOT / "docs/report.md", kafka, topics, commands, tmp_path)
    written = {path.name for path in tmp_path.iterdir()}
    assert written >= {"report.html", "predictions.csv", "week.html", "week.csv"}


def _type(page: Path, kafka: str, names: Topics, commands: Path, folder: Path) -> str:
    """What all the lines have written."""
    lines = [line for line in command_lines(page) if not any(re.fullmatch(no, line) for no in NOT_TYPED)]
    assert len(lines) > 1
    again = _of_the_second_scoring(names)
    stand_ins = {
        "localhost:9092": kafka,
        "localhost:9464": f"localhost:{(port := free_port())}",
        "--metrics-port 9464": f"--metrics-port {port}",
        "telco.churn.predictions-again": again.predictions,
        "telco.deadletter-again": again.deadletter,
        "churn-again": again.group,
        "telco.raw.customers": names.raw,
        "telco.churn.predictions": names.predictions,
        "telco.deadletter": names.deadletter,
        "churn-prediction-group": names.group,
    }
    script = "\n".join(lines)
    for written, here in stand_ins.items():
        script = script.replace(written, here)
    env = with_commands(commands, names.env(kafka) | {"CHECKOUT": str(folder if _is_checkout(folder) else ROOT)})
    return type_lines(script.splitlines(), folder, env)


def _is_checkout(folder: Path) -> bool:
    return (folder / "telco_stream").is_dir()


def _of_the_second_scoring(names: Topics) -> Topics:
    return Topics(
        names.raw,
        f"{names.predictions}-again",
        f"{names.deadletter}-again",
        f"{names.group}-again",
        names.transactional_id,
    )


def _ask(command: str, names: Topics, kafka: str, exit_code: int = 0) -> Any:
    done = run_cli(command, "--output", "json", env=names.env(kafka))
    assert done.returncode == exit_code, done.stderr
    return json.loads(done.stdout)


def _what_is_missing() -> str | None:
    programs = [name for name in ("bash", "curl", "docker", "kcat") if shutil.which(name) is None]
    return f"not installed: {', '.join(programs)}" if programs else why_no_container()


def _leave(reason: str) -> NoReturn:
    if os.environ.get("CI"):
        pytest.fail(f"CI is set, and the pages' commands can't be run: {reason}")
    pytest.skip(f"the pages' commands can't be run: {reason}")
