"""The pages with command lines for a real Kafka: every line works, and the topics then hold what the page says."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest

from telco_stream.contract.document import builtin_content
from tests.support.cli import ROOT, run_cli
from tests.support.foreign_data import FOLDER as FOREIGN_DATA
from tests.support.kafka_container import IMAGE, SMALL, docker_unavailable_reason
from tests.support.pages import command_lines, replace_words
from tests.support.ports import free_port
from tests.support.scripts import copy_checkout, env_with_path, run_script, write_executable, write_launchers
from tests.support.topics import Topics, delete_topics, fresh_topics, read_topic

#: Lines that are not run, and why.
NOT_RUN = {
    "make demo": "it would install again; test_wheel.py runs the demo from any directory",
    "make up": "compose/test/pipeline runs it",
    r"\. \.venv/bin/activate": "`telco-stream` is on the path here",
    rf"docker run .* {re.escape(IMAGE)}": "the test has a Kafka of the same image",
    "docker rm .* telco-kafka": "the test has no such container",
    "Rscript .*": "the test has a copy of the file that it writes",
}
#: Lines that exit with 2, as their page says.
EXITS_WITH_2 = {"telco-stream contract infer mlc_churn.csv"}

#: A row of `quality`: the figure, of which customers, and its value.
FIGURE = re.compile(r"^ (\w[\w ]+?)(?:, \d+ (flagged|highest).*?)? +(0\.\d+) +0\.\d+ to", re.MULTILINE)

#: Commands after which there are 50 predictions.
SCORED = """
telco-stream produce --mode batch --limit 50
telco-stream consume --mode batch --top-k 0
"""

#: Kafka's tools start faster with these, and throughput does not matter here.
QUICK_JVM = [
    f"--env=KAFKA_JVM_PERFORMANCE_OPTS={SMALL['jvm_performance_opts']}",
    "--env=KAFKA_HEAP_OPTS=-Xmx128m",
]
TOOLS = ["topics", "consumer-groups", "console-consumer", "get-offsets", "transactions", "delete-records"]


@pytest.fixture(scope="session")
def commands(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Return a folder with `telco-stream` and Kafka's own tools, which run in a container on the host's network."""
    if reason := _missing_programs():
        _skip(reason)
    run = ["docker", "run", "--detach", "--rm", "--init", "--network", "host", *QUICK_JVM, IMAGE, "sleep", "infinity"]
    container = subprocess.run(run, check=True, capture_output=True, text=True).stdout.strip()
    folder, docker = write_launchers(tmp_path_factory.mktemp("commands")), shutil.which("docker")
    for tool in TOOLS:
        line = f'exec {docker} exec -i {container} /opt/kafka/bin/kafka-{tool}.sh "$@"'
        write_executable(folder / f"kafka-{tool}.sh", line)
    # `docker exec telco-kafka …` runs in this container.
    write_executable(folder / "docker", f'shift 2; exec {docker} exec -i {container} "$@"')
    yield folder
    subprocess.run(["docker", "rm", "--force", "--volumes", container], check=True, capture_output=True)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Return a folder with copies of the code, the sample and the model, which the page changes."""
    return copy_checkout(tmp_path)


@pytest.fixture
def names(kafka: str) -> Iterator[Topics]:
    """Return topics for one page, which do not exist yet."""
    names = fresh_topics()
    yield names
    delete_topics(kafka, names)
    delete_topics(kafka, _second_scoring(names))


def test_operations_page_runs(kafka: str, names: Topics, commands: Path, checkout: Path) -> None:
    """At the end 20 inputs have been skipped, and one bad record has been replayed once.

    In a clone, whose `models/churn` is a folder: the new model scores, and no link was created inside it.
    """
    written = _run_page(ROOT / "docs/operations.md", kafka, names, commands, checkout)
    version = json.loads((checkout / "models/v2/manifest.json").read_text())["model_version"]
    assert f"model_version={version} " in written
    assert not (checkout / "models/churn/v2").exists()
    report = json.loads(run_cli("report", "--model-version", version, "--output", "json", env=names.env(kafka)).stdout)
    assert report["total"] == 100
    ledger = _run_json("verify", names, kafka, exit_code=5)
    assert (ledger["missing"], ledger["duplicated"], ledger["unexplained"]) == (20, 0, 0)
    assert ledger["dead_lettered"] == 2
    status = _run_json("status", names, kafka)
    assert (status["lag"], status["members"]) == (0, 0)
    again = _run_json("verify", _second_scoring(names), kafka)
    assert again["inputs"] == again["predicted"] + again["dead_lettered"] > 20_000


def test_kafka_guide_runs(kafka: str, names: Topics, commands: Path, tmp_path: Path) -> None:
    """At the end 31 inputs have one answer each, as the page says."""
    _run_page(ROOT / "docs/kafka-guide.md", kafka, names, commands, tmp_path)
    ledger = _run_json("verify", names, kafka)
    assert (ledger["inputs"], ledger["predicted"], ledger["dead_lettered"]) == (31, 30, 1)


def test_tutorial_runs(kafka: str, names: Topics, commands: Path, checkout: Path) -> None:
    """At the end 525 inputs have one answer each, and the contract of the bundled model is as before."""
    written = _run_page(ROOT / "docs/tutorial.md", kafka, names, commands, checkout)
    assert "Unknown category - at `$.Contract`" in " ".join(written.split())
    assert "Contract.values: added" in written
    assert "still failing: 5" in written
    assert "already replayed: 5" in written
    ledger = _run_json("verify", names, kafka)
    assert (ledger["inputs"], ledger["predicted"], ledger["dead_lettered"]) == (525, 520, 5)
    assert (checkout / "models/churn/contract.json").read_bytes() == builtin_content()
    assert {path.name for path in checkout.iterdir()} == {"telco_stream", "data", "models", "output"}
    assert not (checkout / "models/three-year").exists()


@pytest.mark.slow
def test_own_columns_page_runs(kafka: str, names: Topics, commands: Path, tmp_path: Path) -> None:
    """At the end 5,020 inputs have one answer each, and the page's files are gone."""
    if not FOREIGN_DATA.exists():
        _skip(f"{FOREIGN_DATA} is missing")
    shutil.copy(FOREIGN_DATA / "mlc_churn.csv", tmp_path)
    written = " ".join(_run_page(ROOT / "docs/own-columns.md", kafka, names, commands, tmp_path).split())
    assert "telco-stream contract infer mlc_churn.csv --label churn --positive yes --number-rows" in written
    assert written.count("The contract is valid.") == 1
    assert "Unknown category - at `$.state`" in written
    assert "Each of 5,020 inputs has exactly one answer." in written
    ledger = _run_json("verify", names, kafka)
    assert (ledger["inputs"], ledger["predicted"], ledger["dead_lettered"]) == (5_020, 5_018, 2)
    assert {path.name for path in tmp_path.iterdir()} == {"output"}


def test_model_rollout_page_runs(kafka: str, names: Topics, commands: Path, checkout: Path) -> None:
    """At the end the bundled model serves, after two rollbacks."""
    written = _run_page(ROOT / "docs/model-rollout.md", kafka, names, commands, checkout)
    assert "stricter" in written
    env = names.env(kafka)
    shown = run_cli("model", "show", "--model", f"kafka:{names.models}", "--output", "json", env=env)
    bundled = json.loads((checkout / "models/churn/manifest.json").read_text())
    assert json.loads(shown.stdout)["model_version"] == bundled["model_version"]
    history = run_cli("model", "history", "--output", "json", env=env).stdout.splitlines()
    promote, rollback = ["promote"] * 2, ["rollback"]
    assert [json.loads(change)["action"] for change in history] == [*promote, *rollback, *promote, *rollback]


def test_reference_examples_run(kafka: str, topics: Topics, commands: Path, tmp_path: Path) -> None:
    for page in ("docs/commands.md", "docs/configuration.md"):
        _run_page(ROOT / page, kafka, topics, commands, tmp_path)
    ledger = _run_json("verify", topics, kafka)
    assert (ledger["inputs"], ledger["predicted"]) == (1_100, 1_100)


def test_report_page_runs(kafka: str, topics: Topics, commands: Path, tmp_path: Path) -> None:
    (tmp_path / "outcomes.csv").write_text("customer,outcome,time\n7590-VHVEG,No,2026-02-28T00:00:00Z\n")
    _run_page(ROOT / "docs/report.md", kafka, topics, commands, tmp_path)
    written = {path.name for path in tmp_path.iterdir()}
    assert written >= {"report.html", "predictions.csv", "week.html", "week.csv"}


def test_scores_page_runs(kafka: str, topics: Topics, commands: Path, tmp_path: Path) -> None:
    """Its figures refer to predictions that were made before."""
    run_script(SCORED.splitlines(), tmp_path, env_with_path(commands, topics.env(kafka)))
    printed = _run_page(ROOT / "docs/scores.md", kafka, topics, commands, tmp_path, min_lines=1)
    assert "threshold" in printed.lower()


def test_quality_page_runs(kafka: str, names: Topics, commands: Path, real_data: Path, tmp_path: Path) -> None:
    """On the public data set, which `data fetch` finds; the figures are those of the page."""
    shutil.copy(real_data, tmp_path / "customers.csv")
    page = ROOT / "docs/quality.md"
    printed = _run_page(page, kafka, names, commands, tmp_path)
    assert printed.count("2,543 of 2,543 predictions have an outcome within 30 days") == 2
    first = printed.partition("have an outcome within")[2].partition("Calibration")[0]
    shown, measured = (
        {(name, of): float(value) for name, of, value in FIGURE.findall(text)} for text in (page.read_text(), first)
    )
    assert len(shown) == 7
    assert shown == pytest.approx(measured, abs=0.01)
    manifest = json.loads((tmp_path / "calibrated/manifest.json").read_text())
    assert "calibration.json" in manifest["artifacts"]
    assert manifest["model_version"] in printed
    assert 'id="quality"' in (tmp_path / "report.html").read_text()
    assert "than in the control group had a positive outcome, which can be chance" in " ".join(printed.split())


def test_reasons_page_runs(kafka: str, names: Topics, commands: Path, checkout: Path) -> None:
    page = ROOT / "docs/reasons.md"
    printed = " ".join(_run_page(page, kafka, names, commands, checkout).split())
    assert "+1.53 tenure 1 tenure raises the probability." in printed
    assert "+0.51 InternetService Fiber optic" in printed


def test_drift_page_runs(kafka: str, names: Topics, commands: Path, tmp_path: Path) -> None:
    """Rows of the same population do not drift, and those with another payment method do, also when they have ended."""
    printed = " ".join(_run_page(ROOT / "docs/drift.md", kafka, names, commands, tmp_path).split())
    assert printed.count("No drift.") == 1
    assert printed.count("UTC: PaymentMethod") == 2
    assert re.search(r"Drifted since [^.]+ UTC: PaymentMethod.*Drifted from [^.]+ to [^.]+ UTC: PaymentMethod", printed)
    assert "less Mailed check" in printed


def test_personal_data_page_runs(kafka: str, names: Topics, commands: Path, tmp_path: Path) -> None:
    """Before the deletion, the customer has two records, a prediction and a dead letter; afterwards nothing."""
    printed = _run_page(ROOT / "docs/personal-data.md", kafka, names, commands, tmp_path)
    found = re.findall(r"^(\S+) \d+ \d+ 0000-GONE$", printed, re.MULTILINE)
    assert sorted(found) == sorted([names.raw, names.raw, names.predictions, names.deadletter])
    assert printed.splitlines()[-3:] == ["0", "0", "0"]
    assert {path.name for path in tmp_path.iterdir()} <= {"checkpoints", "output"}, "the page removes its files"
    for topic in (names.raw, names.predictions, names.deadletter):
        assert all(record.key != b"0000-GONE" for record in read_topic(kafka, topic))


def _run_page(page: Path, kafka: str, names: Topics, commands: Path, folder: Path, *, min_lines: int = 2) -> str:
    """Run the page's command lines on topics of the test; return what they print."""
    lines = [line for line in command_lines(page) if not any(re.fullmatch(no, line) for no in NOT_RUN)]
    lines = [f"{line} || test $? = 2" if line in EXITS_WITH_2 else line for line in lines]
    assert len(lines) >= min_lines
    again = _second_scoring(names)
    replacements = {
        "localhost:9092": kafka,
        "localhost:9464": f"localhost:{(port := free_port())}",
        "--metrics-port 9464": f"--metrics-port {port}",
        "telco.churn.predictions-again": again.predictions,
        "telco.deadletter-again": again.deadletter,
        "churn-again": again.group,
        "telco.raw.customers": names.raw,
        "telco.churn.predictions": names.predictions,
        "telco.deadletter": names.deadletter,
        "telco.models": names.models,
        "telco.churn.outcomes": names.outcomes,
        "churn-prediction-group": names.group,
    }
    script = replace_words("\n".join(lines), replacements)
    env = env_with_path(commands, names.env(kafka) | {"CHECKOUT": str(folder if _is_checkout(folder) else ROOT)})
    return run_script(script.splitlines(), folder, env)


def _is_checkout(folder: Path) -> bool:
    return (folder / "telco_stream").is_dir()


def _second_scoring(names: Topics) -> Topics:
    return Topics(
        names.raw,
        f"{names.predictions}-again",
        f"{names.deadletter}-again",
        f"{names.group}-again",
        names.transactional_id,
    )


def _run_json(command: str, names: Topics, kafka: str, exit_code: int = 0) -> Any:
    completed = run_cli(command, "--output", "json", env=names.env(kafka))
    assert completed.returncode == exit_code, completed.stderr
    return json.loads(completed.stdout)


def _missing_programs() -> str | None:
    programs = [name for name in ("bash", "curl", "docker", "kcat") if shutil.which(name) is None]
    return f"not installed: {', '.join(programs)}" if programs else docker_unavailable_reason()


def _skip(reason: str) -> NoReturn:
    if os.environ.get("CI"):
        pytest.fail(f"CI is set, and the pages' commands can't be run: {reason}")
    pytest.skip(f"the pages' commands can't be run: {reason}")
