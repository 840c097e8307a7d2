"""The command line as a process: streams, exit codes, signals, pipes."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from telco_stream import __version__
from telco_stream.cli import main
from tests.support.cli import ROOT, RunningCli, run_cli
from tests.support.csv_files import customer, write_table
from tests.support.in_process import run_in_process
from tests.support.mock_cluster import MockCluster
from tests.support.topics import Topics

NOWHERE = "127.0.0.1:1"
Start = Callable[..., RunningCli]


def test_version() -> None:
    done = run_cli("--version")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"telco-stream {__version__}\n", "")


@pytest.mark.parametrize(
    "arguments",
    [
        "--nope",
        "nope",
        "report --nope",
        "report extra",
        "produce",
        "produce --mode hourly",
        "produce --mode batch --limit 0",
        "produce --mode batch --batch-size 0",
        "produce --mode batch --timeout nan",
        "produce --mode streaming --events-per-sec nan",
        "produce --mode streaming --events-per-sec inf",
        "produce --mode batch --topic no/such/name",
        "consume --max-messages 0",
        "sample --rows 3",
        "report --output xml",
        "config show --broker=",
    ],
)
def test_main_exits_2_when_usage_is_wrong(
    arguments: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Usage is checked before Kafka and the model."""
    monkeypatch.setattr(sys, "argv", ["telco-stream", *arguments.split()])
    with pytest.raises(SystemExit) as exit_info:
        main()
    out, err = capsys.readouterr()
    assert (exit_info.value.code, out) == (2, "")
    assert "Error: " in err


@pytest.mark.parametrize("option", ["--delivery=exactly-once", "--run-id=x"])
def test_produce_exits_2_when_option_needs_batch_mode(option: str) -> None:
    done = run_cli("produce", "--mode", "streaming", option, "--broker", NOWHERE)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert "requires --mode batch" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ("produce --mode batch --events-per-sec 5", "--events-per-sec requires --mode streaming"),
        ("produce --mode batch --seed 5", "--seed requires --mode streaming"),
        ("produce --mode batch --metrics-host localhost", "--metrics-host requires --metrics-port"),
        ("consume --metrics-host localhost", "--metrics-host requires --metrics-port"),
        ("consume --top-k 3", "--top-k requires --mode batch"),
        ("dlq list --summary --show-values", "--show-values has no effect with --summary"),
        ("dlq replay --model models/v2", "--model requires --only-fixed or --customer"),
        ("dlq replay --engine sklearn", "--engine requires --only-fixed"),
    ],
)
def test_command_exits_2_when_an_option_has_no_effect(arguments: str, problem: str) -> None:
    done = run_in_process(*arguments.split(), env={"TELCO_STREAM_BOOTSTRAP_SERVERS": NOWHERE})
    assert (done.code, done.out, done.err.count("\n")) == (2, "", 1)
    assert done.err.startswith(f"Error: {problem}")


@pytest.mark.parametrize(
    "arguments",
    [
        "train --data-path labelled.csv --out kafka:models",
        "model import model.json --data labelled.csv --out kafka:models",
        "model publish kafka:models",
        "model recalibrate kafka:models --out new",
        "model recalibrate models/churn --out kafka:models",
        "model compare kafka:models models/churn --data labelled.csv",
    ],
)
def test_command_exits_2_when_a_folder_is_a_topic(arguments: str) -> None:
    done = run_in_process(*arguments.split(), env={"TELCO_STREAM_BOOTSTRAP_SERVERS": NOWHERE})
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert "kafka:models is a topic; give a model folder" in done.err


@pytest.mark.parametrize(
    ("arguments", "env", "code"),
    [
        (["config", "show"], {"TELCO_STREAM_BOOTSTRAP_SERVRES": "x"}, 2),
        (["report", "--timeout", "0.5", "--broker", NOWHERE], {}, 3),
        (["model", "show", "--model", "nowhere"], {}, 4),
        (["produce", "--mode", "batch", "--data-path", "nowhere.csv", "--broker", NOWHERE], {}, 5),
    ],
)
def test_error_is_one_line_on_stderr_with_its_exit_code(arguments: list[str], env: dict[str, str], code: int) -> None:
    done = run_cli(*arguments, "--output", "json", env=env)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (code, "", 1), done
    assert done.stderr.startswith("Error: ")


def test_consume_checks_settings_then_model_then_kafka() -> None:
    """All three are wrong; fixing one shows the next error."""
    bad_kafka = ("consume", "--timeout", "0.5", "--broker", NOWHERE)
    bad_model = (*bad_kafka, "--model", "nowhere")
    assert run_in_process(*bad_model, env={"TELCO_STREAM_TYPO": "1"}).code == 2
    assert run_in_process(*bad_model).code == 4
    assert run_in_process(*bad_kafka).code == 3


def test_main_shows_a_traceback_when_there_is_a_bug() -> None:
    code = (
        "import sys; from telco_stream import cli; from telco_stream.cli import demo; demo.demo = lambda: 1 / 0;"
        "sys.argv = ['telco-stream', 'demo']; cli.main()"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("Traceback")
    assert done.stderr.endswith("ZeroDivisionError: division by zero\n")


def test_error_has_no_customer_data(tmp_path: Path) -> None:
    path = write_table(tmp_path, customer(customerID="SECRET-ID", tenure="SECRET-TENURE"))
    done = run_cli("train", "--data-path", str(path), "--out", "model")
    assert done.returncode == 5
    assert "line 2" in done.stderr
    assert "SECRET" not in done.stderr


def test_sample_writes_only_the_file_to_stdout_when_asked(tmp_path: Path) -> None:
    done = run_cli("sample", "--rows", "3", "--out", "-")
    run_cli("sample", "--rows", "3", "--out", "a.csv")
    assert (done.returncode, done.stdout, done.stderr) == (0, (tmp_path / "a.csv").read_text(), "")
    refused = run_cli("sample", "--out", "-", "--output", "json")
    assert (refused.returncode, refused.stdout, refused.stderr.count("\n")) == (2, "", 1)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.csv"]


def test_sample_writes_only_json_when_quiet() -> None:
    done = run_cli("sample", "--rows", "3", "--out", "a.csv", "--output", "json", "--quiet")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["rows"] == 3


@pytest.mark.slow
def test_demo_writes_json_to_stdout_and_messages_to_stderr() -> None:
    started = time.monotonic()
    done = run_cli("demo", "--output", "json")
    assert time.monotonic() - started < 30  # 10 s on an idle machine
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["produce"]["sent"] == result["consume"]["predicted"] == result["report"]["total"] == 1000
    assert result["consume"]["dead_lettered"] > 0
    assert result["verify"]["verdict"] == "Each of 1,005 inputs has exactly one answer."
    assert len(result["dead_letters"]) == 5
    assert "The same on your own Kafka, where consume commits exactly once." in done.stderr


@pytest.mark.slow
def test_demo_leaves_no_files_when_quiet(tmp_path: Path) -> None:
    done = run_cli("demo", "--quiet")
    assert (done.returncode, done.stderr) == (0, "")
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("env", "coloured"), [({"FORCE_COLOR": "1"}, True), ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, False)]
)
def test_no_color_overrides_forced_colours(env: dict[str, str], coloured: bool) -> None:
    done = run_cli("model", "show", env={**env, "TERM": "xterm-256color"})
    assert ("\x1b[" in done.stdout) == coloured


@pytest.mark.parametrize("arguments", [["model", "show", "--output", "json"], ["model", "show"]])
def test_command_exits_141_when_its_reader_has_gone(arguments: list[str]) -> None:
    """As with `| head -1`; 141 is the exit code of SIGPIPE."""
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-m", "telco_stream", *arguments]
    done = subprocess.run(command, cwd=ROOT, stdout=write, stderr=subprocess.PIPE, text=True, check=False)
    os.close(write)
    assert (done.returncode, done.stderr) == (141, "")


@pytest.mark.parametrize("command", ["report", "verify"])
def test_ctrl_c_exits_130_when_kafka_is_slow(
    embedded: MockCluster, embedded_topics: Topics, start_cli: Start, command: str
) -> None:
    embedded.set_round_trip(30_000)
    running = start_cli(command, "--timeout", "60", env=embedded_topics.env(embedded.bootstrap))
    _wait_for_handler(running)
    running.signal(signal.SIGINT)
    signalled = time.monotonic()
    assert running.wait() == 130
    assert time.monotonic() - signalled < 2
    assert (running.stdout(), "Traceback" in running.stderr()) == ("", False)


def test_produce_ends_with_summary_when_stopped_early(
    embedded: MockCluster, embedded_topics: Topics, start_cli: Start
) -> None:
    embedded.set_round_trip(30_000)
    options = ("--mode", "batch", "--timeout", "60", "--output", "json")
    running = start_cli("produce", *options, env=embedded_topics.env(embedded.bootstrap))
    _wait_for_handler(running)
    running.signal(signal.SIGTERM)
    signalled = time.monotonic()
    assert running.wait() == 0, running.stderr()
    assert time.monotonic() - signalled < 5
    assert json.loads(running.stdout())["sent"] == 0


def test_sample_leaves_no_file_when_interrupted(start_cli: Start, tmp_path: Path) -> None:
    running = start_cli("sample", "--rows", "100000000", "--out", "big.csv", cwd=tmp_path)
    while not list(tmp_path.iterdir()):
        assert running.process.poll() is None, running.stderr()
    running.signal(signal.SIGINT)
    assert running.wait() == 130
    assert list(tmp_path.iterdir()) == []
    assert "Traceback" not in running.stderr()


def _wait_for_handler(running: RunningCli) -> None:
    """Wait until the process has a handler for SIGTERM."""
    mask = 1 << (signal.SIGTERM - 1)
    status = Path(f"/proc/{running.process.pid}/status")
    deadline = time.monotonic() + 30
    while not mask & int(status.read_text().split("SigCgt:\t")[1].split()[0], 16):
        assert time.monotonic() < deadline
        time.sleep(0.02)
