"""README says what is there, and each of its command lines works."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from telco_stream.errors import TelcoStreamError
from tests.support.cli import ROOT
from tests.support.pages import broken_links, command_lines, named_commands
from tests.support.topics import Topics
from tests.test_cli_help import COMMANDS

README = ROOT / "README.md"
PAGES = [README, *sorted((ROOT / "docs").glob("*.md"))]
#: Lines that are not run as they stand, and why.
NOT_RUN = {
    r"git clone\b.*": "the checkout is here",
    r"telco-stream data fetch\b.*": "it downloads; test_dataset.py runs it against a server of its own",
}


def test_every_command_line_of_the_readme_works(kafka: str, topics: Topics, tmp_path: Path) -> None:
    """In their order, in one folder; `make` only says what it would do, for `make test` would come here again."""
    lines = command_lines(README)
    assert len(lines) > 10
    (tmp_path / "data").mkdir()
    shutil.copy(ROOT / "data/sample_customers.csv", tmp_path / "data/telco_customer_churn.csv")
    for line in lines:
        if not any(re.fullmatch(pattern, line) for pattern in NOT_RUN):
            _run(line, tmp_path, topics.env(kafka))


@pytest.mark.parametrize("name", COMMANDS)
def test_the_readme_names_every_command(name: str) -> None:
    assert re.search(rf"telco-stream {name}\b", named_commands(README))


def test_the_readme_names_every_exit_code() -> None:
    raised = {TelcoStreamError.exit_code, *(error.exit_code for error in TelcoStreamError.__subclasses__())}
    told = {int(code) for code in re.findall(r"^\| (\d+) \|", README.read_text(), re.MULTILINE)}
    assert raised | {0, 130} == told


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    assert broken_links(page) == []


def test_commands_are_found_in_blocks_of_both_kinds(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("```bash\na \\\n  b  # why\n# no\n\nc\n```\n```\nnot this\n```\n```console\n$ d\nanswer\n```\n")
    assert command_lines(page) == ["a b # why", "c", "d"]


def test_a_link_that_leads_nowhere_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("[a](page.md) [b](nowhere.md#part) [c](https://example.org/x.md) [d](#part)")
    assert broken_links(page) == ["nowhere.md"]


def _run(line: str, folder: Path, env: dict[str, str]) -> None:
    is_make = line.startswith("make ")
    command = f"make --dry-run {line.removeprefix('make ')}" if is_make else line
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=ROOT if is_make else folder,
        env={**os.environ, **env, "PATH": f"{_bin(folder)}{os.pathsep}{os.environ['PATH']}"},
        timeout=240,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{line}\n{done.stderr}"


def _bin(folder: Path) -> Path:
    """A folder with a `telco-stream` that is this checkout's."""
    place = folder / "bin" / "telco-stream"
    place.parent.mkdir(exist_ok=True)
    place.write_text(f'#!/bin/sh\nPYTHONPATH="{ROOT}" exec "{sys.executable}" -m telco_stream "$@"\n')
    place.chmod(0o755)
    return place.parent
