"""The demo: what it shows, how it stops, and what it suggests."""

import shlex
import signal
import sys
import tempfile
from pathlib import Path

import pytest

from telco_stream.cli.demo import program
from telco_stream.errors import UsageError
from telco_stream.report.analytics import Summary
from telco_stream.runtime.signals import Stop, Stopped
from telco_stream.sample.demo import Answers, run_demo
from tests.support.cli import RunningCli, run_cli
from tests.support.in_process import run_in_process
from tests.support.records import RuleScorer
from tests.support.scripts import write_executable


def test_demo_shows_dead_letters_leavers_and_the_verdict() -> None:
    shown: list[object] = []
    result = run_demo(RuleScorer(), stop=Stop(), say=lambda _line: None, show=shown.append)
    letters, summary, answers = shown
    assert (letters, summary, answers) == (result.dead_letters, result.report, result.verify)
    assert [letter.key for letter in result.dead_letters] == [f"broken-{number}" for number in range(1, 6)]
    assert [letter.error_type for letter in result.dead_letters] == [
        *("json", "validation", "encoding", "validation", "empty")
    ]
    assert isinstance(summary, Summary)
    assert summary.expected_leavers > 0
    assert answers == Answers(1_005, 1_000, 5, "Each of 1,005 inputs has exactly one answer.")


@pytest.mark.parametrize("step", range(1, 6))
def test_demo_shows_no_result_of_a_step_when_it_is_stopped(step: int) -> None:
    stop, shown = Stop(), list[object]()

    def say(line: str) -> None:
        if line.startswith(f"{step}. "):
            stop.request()

    with pytest.raises(Stopped):
        run_demo(RuleScorer(), stop=stop, say=say, show=shown.append)
    assert len(shown) == max(0, step - 3)


@pytest.mark.slow
def test_demo_exits_130_without_a_result_when_interrupted(tmp_path: Path) -> None:
    running = RunningCli(("demo",), tmp_path, None, tmp_path)
    running.wait_for_stderr("2. Produce")
    running.signal(signal.SIGINT)
    assert running.wait() == 130
    assert " 0 " not in running.stdout()
    assert "Traceback" not in running.stderr()
    assert "topics init" not in running.stderr()


@pytest.mark.slow
def test_demo_suggests_commands_that_run_as_printed() -> None:
    done = run_cli("demo", "--output", "json")
    assert max(map(len, done.stderr.replace(sys.executable, "python").splitlines())) <= 80
    commands = [shlex.split(line)[1:] for line in done.stderr.splitlines() if "-m telco_stream" in line]
    assert len(commands) == 5
    for words in commands:
        assert run_in_process(*words[2:], "--help").code == 0


def test_program_is_named_as_a_shell_finds_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = tmp_path / "bin/telco-stream"
    script.parent.mkdir()
    write_executable(script, "true")
    assert program(script) == program(Path("bin/telco-stream")) == "bin/telco-stream"
    monkeypatch.setenv("PATH", str(script.parent))
    assert program(script) == "telco-stream"
    (tmp_path / "a b").mkdir()
    monkeypatch.chdir(tmp_path / "a b")
    assert program(Path("../bin/telco-stream")) == "telco-stream"
    monkeypatch.setenv("PATH", "")
    assert program(Path("../bin/telco-stream")) == "../bin/telco-stream"
    assert program(Path("/usr/my tools/telco-stream")) == "'/usr/my tools/telco-stream'"
    assert program(Path("telco_stream/__main__.py")) == f"{sys.executable} -m telco_stream"


def test_demo_fails_when_no_temporary_folder_is_writable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For example in a container with a read-only root."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    lines: list[object] = []
    with pytest.raises(UsageError, match="TMPDIR"):
        run_demo(RuleScorer(), stop=Stop(), say=lines.append, show=lines.append)
    assert lines == []
