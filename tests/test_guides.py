"""The pages for operators and for newcomers: each of their command lines works, and what they say of the end is so."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest

from tests.support.cli import ROOT, run_cli
from tests.support.kafka_container import IMAGE, free_port, why_no_container
from tests.support.pages import command_lines
from tests.support.topics import Topics, delete_topics, fresh_topics

#: Fast starts matter here, and top speed doesn't.
QUICK_JVM = [
    "--env=KAFKA_JVM_PERFORMANCE_OPTS=-XX:+UseSerialGC -XX:TieredStopAtLevel=1",
    "--env=KAFKA_HEAP_OPTS=-Xmx128m",
]
TOOLS = ["topics", "consumer-groups", "console-consumer", "get-offsets", "transactions"]


@pytest.fixture(scope="module")
def commands(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with `telco-stream` and Kafka's own tools, which reach the broker from a container on this network."""
    if reason := _what_is_missing():
        _leave(reason)
    run = ["docker", "run", "--detach", "--rm", "--init", "--network", "host", *QUICK_JVM, IMAGE, "sleep", "infinity"]
    container = subprocess.run(run, check=True, capture_output=True, text=True).stdout.strip()
    folder = tmp_path_factory.mktemp("commands")
    _write(folder / "telco-stream", f'PYTHONPATH="{ROOT}" exec "{sys.executable}" -m telco_stream "$@"')
    for tool in TOOLS:
        _write(folder / f"kafka-{tool}.sh", f'exec docker exec -i {container} /opt/kafka/bin/kafka-{tool}.sh "$@"')
    yield folder
    subprocess.run(["docker", "rm", "--force", "--volumes", container], check=True, capture_output=True)


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


def _type(page: Path, kafka: str, names: Topics, commands: Path, folder: Path) -> None:
    """All lines in one shell, because some go on beside the next; the first that fails ends it."""
    lines = command_lines(page)
    assert len(lines) > 15
    script = "\n".join(["set -eEuo pipefail", "trap 'echo \"failed: $BASH_COMMAND\" >&2' ERR", *lines])
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
    for written, here in stand_ins.items():
        script = script.replace(written, here)
    env = {**os.environ, **names.env(kafka), "PATH": f"{commands}{os.pathsep}{os.environ['PATH']}"}
    _run(script, folder, env, page.name)


def _run(script: str, folder: Path, env: dict[str, str], page: str) -> None:
    out = folder / "output"
    with out.open("wb") as file:
        shell = subprocess.Popen(
            ["bash", "-c", script], cwd=folder, env=env, stdout=file, stderr=file, start_new_session=True
        )
    try:
        code = shell.wait(timeout=240)
    finally:
        _end_all(shell)
    assert code == 0, f"{page}: {out.read_text()[-2_000:]}"


def _end_all(shell: "subprocess.Popen[bytes]") -> None:
    """What the page has started is gone, also where it broke off."""
    try:
        os.killpg(shell.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
    shell.wait()


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


def _write(program: Path, line: str) -> None:
    program.write_text(f"#!/bin/sh\n{line}\n")
    program.chmod(0o755)
