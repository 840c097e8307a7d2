"""Standard streams that are full, closed or without a reader: no traceback, and the right exit code."""

import subprocess
import sys
from pathlib import Path

import pytest

from telco_stream.cli import streams
from telco_stream.display.console import Screen
from tests.support.cli import ROOT


@pytest.mark.parametrize("arguments", [["model", "show", "--output", "json"], ["--help"]])
def test_command_exits_2_when_stdout_is_full(arguments: list[str]) -> None:
    with Path("/dev/full").open("w") as full:
        done = _run(*arguments, stdout=full, stderr=subprocess.PIPE)
    assert (done.returncode, done.stderr) == (2, "Error: Cannot write the result: No space left on device\n")


@pytest.mark.parametrize(("arguments", "code"), [("oops", 2), ("model show --model nowhere", 4)])
def test_command_keeps_its_exit_code_when_stderr_is_full(arguments: str, code: int) -> None:
    with Path("/dev/full").open("w") as full:
        assert _run(*arguments.split(), stderr=full).returncode == code


def test_screen_ignores_errors_when_stderr_is_full(monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk for the log must not end a consumer."""
    with Path("/dev/full").open("w") as full, monkeypatch.context() as own:
        own.setattr(sys, "__stderr__", full)
        own.setattr(sys, "stderr", full)
        streams.prepare()
        Screen().say("lost")
        Screen().say("lost too")


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&- >&- 2>&-"])
def test_command_works_when_streams_are_closed(closed: str, tmp_path: Path) -> None:
    """Output does not go to a file that has got the number of the closed stream."""
    arguments = [sys.executable, "-m", "telco_stream", "sample", "--rows", "3", "--out", str(tmp_path / "a.csv")]
    done = subprocess.run(["sh", "-c", f'"$@" {closed}', "sh", *arguments], cwd=ROOT, check=False)
    assert done.returncode == 0
    assert len((tmp_path / "a.csv").read_text().splitlines()) == 4


def test_streams_are_separate_when_both_are_open() -> None:
    done = _run("model", "show", "--model", "nowhere", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert (done.returncode, done.stdout, done.stderr.startswith("Error: ")) == (4, "", True)
    done = _run("config", "show", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert (done.returncode, "bootstrap_servers" in done.stdout, done.stderr) == (0, True, "")


def _run(*arguments: str, **streams: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "telco_stream", *arguments]
    return subprocess.run(command, cwd=ROOT, text=True, check=False, **streams)  # type: ignore[call-overload, no-any-return]
