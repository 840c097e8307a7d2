"""Streams that are full, closed, or have nobody behind them: no traceback, and the exit code says what became of it."""

import subprocess
import sys
from pathlib import Path

import pytest

from telco_stream.cli import streams
from telco_stream.display.console import Screen
from tests.support.cli import ROOT


@pytest.mark.parametrize("words", [["model", "show", "--output", "json"], ["--help"]])
def test_a_result_that_can_not_be_written_is_one_line_and_2(words: list[str]) -> None:
    with Path("/dev/full").open("w") as full:
        done = _run(*words, stdout=full, stderr=subprocess.PIPE)
    assert (done.returncode, done.stderr) == (2, "Error: Cannot write the result: No space left on device\n")


@pytest.mark.parametrize(("words", "code"), [("oops", 2), ("model show --model nowhere", 4)])
def test_talk_that_can_not_be_written_changes_no_exit_code(words: str, code: int) -> None:
    with Path("/dev/full").open("w") as full:
        assert _run(*words.split(), stderr=full).returncode == code


def test_a_line_of_talk_that_is_lost_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A consumer outlives a full disk for its log."""
    with Path("/dev/full").open("w") as full, monkeypatch.context() as own:
        own.setattr(sys, "__stderr__", full)
        own.setattr(sys, "stderr", full)
        streams.prepare()
        Screen().say("lost")
        Screen().say("lost too")


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_stream_that_is_closed_is_written_to_nobody(closed: str, tmp_path: Path) -> None:
    """Nor into the file that would have taken its number."""
    words = [sys.executable, "-m", "telco_stream", "sample", "--rows", "3", "--out", str(tmp_path / "a.csv")]
    done = subprocess.run(["sh", "-c", f'"$@" {closed}', "sh", *words], cwd=ROOT, check=False)
    assert done.returncode == 0
    assert len((tmp_path / "a.csv").read_text().splitlines()) == 4


def test_talk_and_results_are_as_usual_where_nothing_is_wrong() -> None:
    done = _run("model", "show", "--model", "nowhere", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert (done.returncode, done.stdout, done.stderr.startswith("Error: ")) == (4, "", True)
    done = _run("config", "show", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert (done.returncode, "bootstrap_servers" in done.stdout, done.stderr) == (0, True, "")


def _run(*words: str, **streams: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "telco_stream", *words]
    return subprocess.run(command, cwd=ROOT, text=True, check=False, **streams)  # type: ignore[call-overload, no-any-return]
