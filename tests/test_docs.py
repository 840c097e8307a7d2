"""The documentation: links, commands, files and names that it mentions exist, and the README's commands work."""

import json
import pkgutil
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from telco_stream.errors import TelcoStreamError
from tests.support.cli import ROOT, run_cli
from tests.support.csv_files import write_accounts
from tests.support.pages import anchors, broken_links, command_lines, mentions, named_commands, replace_words
from tests.support.scripts import env_with_path, write_launchers
from tests.support.topics import Topics
from tests.test_cli_help import COMMANDS, EVERY

README = ROOT / "README.md"
PAGES = sorted(path for folder in ("", "docs", "data", "models") for path in (ROOT / folder).glob("*.md"))
#: Pages with command lines, and the test that runs them.
RUN_BY = {
    "README.md": "test_docs",
    **dict.fromkeys(["docs/tutorial.md", "docs/own-columns.md", "docs/kafka-guide.md"], "pages/test_guides"),
    **dict.fromkeys(["docs/operations.md", "docs/commands.md", "docs/configuration.md"], "pages/test_guides"),
    **dict.fromkeys(["docs/report.md", "docs/personal-data.md", "docs/scores.md"], "pages/test_guides"),
    **dict.fromkeys(
        ["docs/model-rollout.md", "docs/quality.md", "docs/drift.md", "docs/reasons.md"], "pages/test_guides"
    ),
    **dict.fromkeys(["docs/models.md", "docs/contract.md"], "pages/test_own_pages"),
}
#: Paths that commands create, or that are not paths of this repository.
NOT_IN_REPOSITORY = {"checkpoints/producer.json", "topic/partition/offset"}
#: Other files that link to pages.
LINKING_FILES = [*(ROOT / "telco_stream").rglob("*.py"), *(ROOT / "compose").rglob("*.yml")]
#: Lines that are not run, and why.
NOT_RUN = {
    r"git clone\b.*": "the tests run in a checkout",
    r"telco-stream data fetch\b.*": "it downloads; test_dataset.py runs it with a local server",
}


def test_readme_commands_work(kafka: str, topics: Topics, tmp_path: Path) -> None:
    """Run in order in one folder; at the end the sample's 1,000 customers, and 20 more, have one answer each.

    `make` runs dry, because `make test` would run this test again.
    """
    lines = command_lines(README)
    assert len(lines) > 10
    (tmp_path / "data").mkdir()
    shutil.copy(ROOT / "data/sample_customers.csv", tmp_path / "data/telco_customer_churn.csv")
    write_accounts(tmp_path / "customers.csv")
    for line in lines:
        if not any(re.fullmatch(pattern, line) for pattern in NOT_RUN):
            _run(line, tmp_path, topics.env(kafka))
    verified = run_cli("verify", "--output", "json", env=topics.env(kafka))
    assert verified.returncode == 0, verified.stderr
    ledger = json.loads(verified.stdout)
    assert (ledger["inputs"], ledger["predicted"]) == (1_020, 1_020)


@pytest.mark.parametrize("name", COMMANDS)
def test_readme_names_every_command(name: str) -> None:
    assert re.search(rf"telco-stream {name}\b", named_commands(README))


def test_readme_names_every_exit_code() -> None:
    raised = {TelcoStreamError.exit_code, *(error.exit_code for error in TelcoStreamError.__subclasses__())}
    named = {int(code) for code in re.findall(r"^\| (\d+) \|", README.read_text(), re.MULTILINE)}
    assert raised | {0, 130} == named


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_page_links_have_targets(page: Path) -> None:
    assert broken_links(page) == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_page_names_existing_commands_and_options(page: Path) -> None:
    assert [unknown for words in mentions(page) if (unknown := _unknown(words))] == []


def test_every_page_with_commands_is_run_by_a_test() -> None:
    with_lines = {str(page.relative_to(ROOT)) for page in PAGES if command_lines(page)} - {"docs/performance.md"}
    assert with_lines == set(RUN_BY)
    for page, test in RUN_BY.items():
        assert page in (ROOT / f"tests/{test}.py").read_text() or page == "README.md"


def test_performance_page_has_make_commands_only() -> None:
    """No test runs them, because they take half an hour."""
    assert {line.split()[0] for line in command_lines(ROOT / "docs/performance.md")} == {"make"}


def test_index_links_to_every_page() -> None:
    index = (ROOT / "docs/README.md").read_text()
    assert [page.name for page in (ROOT / "docs").glob("*.md") if f"({page.name})" not in index] == ["README.md"]


def test_code_and_rules_link_to_existing_pages() -> None:
    links = {link for file in LINKING_FILES for link in re.findall(r"docs/[\w-]+\.md(?:#[\w-]+)?", file.read_text())}
    assert len(links) > 5
    for link in links:
        name, _, anchor = link.partition("#")
        assert not anchor or anchor in anchors(ROOT / name), link
        assert (ROOT / name).is_file(), link


def test_design_page_names_existing_functions() -> None:
    way = (ROOT / "docs/design.md").read_text().partition("## Path of a record")[2].partition("## ")[0]
    steps = re.findall(r"^\d+\. (.*)$", way, re.MULTILINE)
    names = {name for step in steps for name in re.findall(r"`(\w+(?:\.\w+)+)`", step)}
    assert len(names) > 12
    for name in names:
        assert pkgutil.resolve_name(f"telco_stream.{name}"), name


def test_page_names_existing_files() -> None:
    """By the path from the repository or from the package."""
    for page in PAGES:
        named = set(re.findall(r"`((?:[\w.-]+/)+[\w.-]*\w)`", page.read_text())) - NOT_IN_REPOSITORY
        assert [path for path in named if not any((ROOT / base / path).exists() for base in ("", "telco_stream"))] == []


def test_page_names_existing_make_targets() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {name for page in PAGES for name in re.findall(r"`(?:[A-Z_]+=\S+ )*make ([a-z-]+)", page.read_text())}
    assert len(named) > 5
    assert named - targets == set()


def test_command_lines_finds_bash_and_console_blocks(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("```bash\na \\\n  b  # why\n# no\n\nc\n```\n```\nnot this\n```\n```console\n$ d\nanswer\n```\n")
    assert command_lines(page) == ["a b # why", "c", "d"]


def test_broken_links_finds_links_without_target(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# A `b`, C?\n[a](page.md#a-b-c) [b](nowhere.md#part) [c](https://example.org/x.md) [d](#part)\n"
        "# Again\n## Again\n[e](#again-1) [f](#again-2)\n```\n# part\n[g](no.md)\n```\n"
    )
    assert broken_links(page) == ["nowhere.md#part", "#part", "#again-2"]


def test_mentions_finds_unknown_commands_and_options(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "`telco-stream dlq list\\|fly --limit 3`, `telco-stream report --loud`, telco-stream prose, "
        "`telco-stream:tag telco-stream verify || true`\n```sh\ntelco-stream status --max-lag 3 | grep --quiet x\n```\n"
    )
    commands = mentions(page)
    assert [" ".join(words[:2]) for words in commands] == [
        "dlq list|fly",
        "report --loud",
        "verify",
        "status --max-lag",
    ]
    assert [_unknown(words) for words in commands] == ["dlq fly", "report --loud", None, None]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a.b c", "X c"),
        ("(a.b, a.b:0)", "(X, X:0)"),
        ("a.b.", "X."),
        ("x=a.b\na.b", "x=X\nX"),
        ("a.b.c a.b-c a.bc x.a.b x-a.b aXb", "a.b.c a.b-c a.bc x.a.b x-a.b aXb"),
        ("a.b-again a.b", "Y X"),
    ],
)
def test_replace_words_replaces_whole_words_only(text: str, expected: str) -> None:
    assert replace_words(text, {"a.b": "X", "a.b-again": "Y"}) == expected


def _unknown(words: list[str]) -> str | None:
    """Return the first argument that no command knows."""
    name = ""
    while words and not words[0].startswith("-") and getattr(EVERY[name], "commands", None):
        choices = [f"{name} {word}".strip() for word in words[0].split("|")]
        if unknown := [choice for choice in choices if choice not in EVERY]:
            return unknown[0]
        name, words = choices[-1], words[1:]
    options = [word.partition("=")[0] for word in words if word.startswith("--")]
    known = {"--help", *(option for parameter in EVERY[name].params for option in parameter.opts)}
    return next((f"{name} {word}" for word in options if word not in known), None)


def _run(line: str, folder: Path, env: dict[str, str]) -> None:
    is_make = line.startswith("make ")
    command = f"make --dry-run {line.removeprefix('make ')}" if is_make else line
    completed = subprocess.run(
        ["bash", "-c", command],
        cwd=ROOT if is_make else folder,
        env=env_with_path(write_launchers(folder), env),
        timeout=240,
        capture_output=True,
        text=True,
        check=False,
    )
    assert completed.returncode == 0, f"{line}\n{completed.stderr}"
