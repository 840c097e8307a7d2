"""README says what is there, and each of its command lines works."""

import pkgutil
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from telco_stream.errors import TelcoStreamError
from tests.support.cli import ROOT
from tests.support.pages import anchors, broken_links, command_lines, mentions, named_commands
from tests.support.shell import with_commands, write_commands
from tests.support.topics import Topics
from tests.test_cli_help import COMMANDS, EVERY

README = ROOT / "README.md"
PAGES = sorted(path for folder in ("", "docs", "data", "models") for path in (ROOT / folder).glob("*.md"))
#: Pages with command lines, and the test that types them.
TYPED = {
    "README.md": "test_docs",
    **dict.fromkeys(["docs/tutorial.md", "docs/quick-start.md", "docs/kafka-guide.md"], "test_guides"),
    **dict.fromkeys(["docs/operations.md", "docs/commands.md", "docs/configuration.md"], "test_guides"),
    "docs/report.md": "test_guides",
    **dict.fromkeys(["docs/own-model.md", "docs/own-schema.md"], "test_own_pages"),
}
#: Paths that only come to be, or stand in another place.
ELSEWHERE = {"checkpoints/producer.json", "topic/partition/offset"}
#: Whatever else leads a reader to a page.
POINTERS = [*(ROOT / "telco_stream").rglob("*.py"), *(ROOT / "compose").rglob("*.yml")]
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


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_each_command_that_a_page_names_is_there_with_its_options(page: Path) -> None:
    assert [fault for words in mentions(page) if (fault := _unknown(words))] == []


def test_every_page_with_command_lines_is_typed_by_a_test() -> None:
    with_lines = {str(page.relative_to(ROOT)) for page in PAGES if command_lines(page)} - {"docs/performance.md"}
    assert with_lines == set(TYPED)
    for page, test in TYPED.items():
        assert page in (ROOT / f"tests/{test}.py").read_text() or page == "README.md"


def test_the_command_lines_on_performance_are_make_s() -> None:
    """They take half an hour, so none is typed."""
    assert {line.split()[0] for line in command_lines(ROOT / "docs/performance.md")} == {"make"}


def test_every_page_is_in_the_index() -> None:
    index = (ROOT / "docs/README.md").read_text()
    assert [page.name for page in (ROOT / "docs").glob("*.md") if f"({page.name})" not in index] == ["README.md"]


def test_each_page_that_code_and_rules_lead_to_is_there() -> None:
    found = {link for file in POINTERS for link in re.findall(r"docs/[\w-]+\.md(?:#[\w-]+)?", file.read_text())}
    assert len(found) > 5
    for link in found:
        name, _, anchor = link.partition("#")
        assert not anchor or anchor in anchors(ROOT / name), link
        assert (ROOT / name).is_file(), link


def test_each_name_on_a_records_way_is_there() -> None:
    way = (ROOT / "docs/design.md").read_text().partition("## One record's way")[2].partition("## ")[0]
    names = {
        name for row in re.findall(r"^\|[^|]*\|([^|]*)\|", way, re.MULTILINE) for name in re.findall(r"`([\w.]+)`", row)
    }
    assert len(names) > 12
    for name in names:
        assert pkgutil.resolve_name(f"telco_stream.{name}"), name


def test_each_file_that_a_page_names_is_there() -> None:
    """By its path from the top, or from the package."""
    for page in PAGES:
        named = set(re.findall(r"`((?:[\w.-]+/)+[\w.-]*\w)`", page.read_text())) - ELSEWHERE
        assert [one for one in named if not any((ROOT / base / one).exists() for base in ("", "telco_stream"))] == []


def test_each_target_of_make_that_a_page_names_is_there() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {name for page in PAGES for name in re.findall(r"`(?:[A-Z_]+=\S+ )*make ([a-z-]+)", page.read_text())}
    assert len(named) > 5
    assert named - targets == set()


def test_commands_are_found_in_blocks_of_both_kinds(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("```bash\na \\\n  b  # why\n# no\n\nc\n```\n```\nnot this\n```\n```console\n$ d\nanswer\n```\n")
    assert command_lines(page) == ["a b # why", "c", "d"]


def test_a_link_that_leads_nowhere_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# A `b`, C?\n[a](page.md#a-b-c) [b](nowhere.md#part) [c](https://example.org/x.md) [d](#part)\n"
        "# Again\n## Again\n[e](#again-1) [f](#again-2)\n```\n# part\n[g](no.md)\n```\n"
    )
    assert broken_links(page) == ["nowhere.md#part", "#part", "#again-2"]


def test_a_command_or_an_option_that_is_not_there_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "`telco-stream dlq list\\|fly --limit 3`, `telco-stream report --loud`, telco-stream prose, "
        "`telco-stream:tag telco-stream verify || true`\n```sh\ntelco-stream status --max-lag 3 | grep --quiet x\n```\n"
    )
    found = mentions(page)
    assert [" ".join(words[:2]) for words in found] == ["dlq list|fly", "report --loud", "verify", "status --max-lag"]
    assert [_unknown(words) for words in found] == ["dlq fly", "report --loud", None, None]


def _unknown(words: list[str]) -> str | None:
    """The first of the words that no command here knows."""
    name = ""
    while words and not words[0].startswith("-") and getattr(EVERY[name], "commands", None):
        choices = [f"{name} {word}".strip() for word in words[0].split("|")]
        if unknown := [one for one in choices if one not in EVERY]:
            return unknown[0]
        name, words = choices[-1], words[1:]
    asked = [word.partition("=")[0] for word in words if word.startswith("--")]
    known = {"--help", *(word for one in EVERY[name].params for word in one.opts)}
    return next((f"{name} {word}" for word in asked if word not in known), None)


def _run(line: str, folder: Path, env: dict[str, str]) -> None:
    is_make = line.startswith("make ")
    command = f"make --dry-run {line.removeprefix('make ')}" if is_make else line
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=ROOT if is_make else folder,
        env=with_commands(write_commands(folder), env),
        timeout=240,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{line}\n{done.stderr}"
