"""The generated parts of the docs are up to date and true."""

import json
import re
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from docs.generate.commands import COMMANDS, commands_with
from docs.generate.pages import GENERATORS, part_names, render_page
from docs.generate.results import RESULTS
from docs.generate.settings import refused_properties
from telco_stream.cli import make_app
from telco_stream.cli.session import Session
from telco_stream.contract.document import builtin_content
from telco_stream.errors import UsageError
from telco_stream.report.analytics import Summary
from telco_stream.report.lookup import FoundPrediction
from telco_stream.settings import load
from telco_stream.settings.sources import FLAGS, read_flags
from telco_stream.settings.tree import FIELDS
from tests.support.cli import ROOT
from tests.support.in_process import run_in_process
from tests.support.telco import CODEC
from tests.support.topics import Topics, send
from tests.support.training_data import labelled_rows, write_csv

PAGES = sorted((ROOT / "docs").glob("*.md"))
COMMANDS_PAGE = (ROOT / "docs/commands.md").read_text()
SETTINGS_PAGE = (ROOT / "docs/configuration.md").read_text()
#: Arguments without which a command, or one of its options, does not run.
REQUIRED = {
    "produce": ["--mode", "batch"],
    "dlq show": ["0:0"],
    "contract check": ["x"],
    "predictions show": ["a"],
    "explain": ["--customer", "a"],
    "outcomes send": ["x"],
    "quality": ["--outcomes", "x"],
    "report": ["--contact-cost", "5", "--customer-value", "100", "--html", "x"],
    "train": ["--data-path", "x"],
    "sample": ["--out", "x"],
    "contract infer": ["x"],
    "model import": ["x", "--data", "x"],
    "model publish": ["x"],
    "model recalibrate": ["x", "--out", "y"],
    "model promote": ["x"],
    "model compare": ["x", "x", "--data", "x"],
}
#: The command that shows the settings.
SHOWS = "config show"
CLAIMS = [(name, setting) for setting in FLAGS for name in commands_with(setting) if name != SHOWS]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_generated_parts_are_current(page: Path) -> None:
    """If this fails, run `make docs`."""
    assert render_page(page.read_text()) == page.read_text()


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_a_generated_part(name: str) -> None:
    assert f"command {name}" in part_names(COMMANDS_PAGE)


@pytest.mark.parametrize("name", COMMANDS)
def test_commands_page_names_every_option(name: str) -> None:
    text = _part(f"command {name}") + _part("common")
    flags = [flag for option in COMMANDS[name].params for flag in option.opts if flag.startswith("--")]
    assert [flag for flag in flags if flag not in text] == []


@pytest.mark.parametrize("name", COMMANDS)
def test_commands_page_describes_every_option(name: str) -> None:
    text = "\n".join(map(_part, (f"command {name}", "shared", "common")))
    described = " ".join(re.findall(r"^- `([^`]+)`:", text, re.MULTILINE))
    flags = [flag for option in COMMANDS[name].params for flag in option.opts if flag.startswith("--")]
    assert [flag for flag in flags if not re.search(rf"{flag}\b", described)] == []


@pytest.mark.parametrize("name", FIELDS)
def test_configuration_page_names_every_setting(name: str) -> None:
    assert f"\n- `{name}`: " in SETTINGS_PAGE


def test_part_ends_at_the_nearest_end_marker() -> None:
    text = "a\n<!-- begin refused -->\nold\n<!-- end -->\nb\n<!-- begin common -->\n<!-- end -->\n"
    assert part_names(text) == ["refused", "common"]
    assert "\nb\n" in render_page(text)
    assert "old" not in render_page(text)
    assert render_page(render_page(text)) == render_page(text)


def test_part_fails_when_no_generator_exists() -> None:
    assert "weather" not in GENERATORS
    with pytest.raises(KeyError):
        render_page("<!-- begin weather -->\n<!-- end -->\n")


def test_part_fails_when_the_command_is_unknown() -> None:
    with pytest.raises(KeyError):
        render_page("<!-- begin command fly -->\n<!-- end -->\n")


class _Captured(Exception):  # noqa: N818 - ends the command when its settings are captured
    pass


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, Any]]:
    """Return a function that captures the settings of a command line without running it."""
    captured: dict[str, Any] = {}

    def note(_self: Session, *_: object, flags: dict[str, Any] | None = None, **__: object) -> None:
        captured.update({name: setting.value for name, setting in read_flags(flags or {}).items()})
        raise _Captured

    monkeypatch.setattr(Session, "__init__", note)

    def give(*arguments: str) -> dict[str, Any]:
        captured.clear()
        result = CliRunner().invoke(make_app(), list(arguments))
        assert isinstance(result.exception, _Captured), result.output
        return dict(captured)

    return give


@pytest.mark.parametrize(("name", "setting"), CLAIMS)
def test_flag_sets_the_documented_setting(name: str, setting: str, given: Callable[..., dict[str, Any]]) -> None:
    mode = ["--mode", "batch"] if (name, setting) == ("consume", "consumer.window_size") else []
    settings = given(*name.split(), *REQUIRED.get(name, []), *mode, FLAGS[setting], "7")
    assert [(key, float(value)) for key, value in settings.items()] == [(setting, 7.0)]


def test_page_lists_every_flag_that_sets_a_setting(given: Callable[..., dict[str, Any]]) -> None:
    """Each option with a value is set; every setting that changes must be listed for its flag."""
    reached = {(name, setting) for name in COMMANDS if name != SHOWS for setting in _reached(name, given)}
    assert reached == set(CLAIMS)


def test_config_show_flags_set_the_documented_settings() -> None:
    claimed = {setting: flag for setting, flag in FLAGS.items() if SHOWS in commands_with(setting)}
    arguments = [argument for flag in claimed.values() for argument in (flag, "7")]
    done = run_in_process("config", "show", *arguments, "--output", "json", env={})
    resolved = map(json.loads, done.out.splitlines())
    assert {setting["name"] for setting in resolved if setting["origin"] == "flag"} == set(claimed)


def test_documented_refused_property_is_refused() -> None:
    items = " ".join(refused_properties("").split()).split("- ")[1:]
    names = [name.strip("` ") for item in items for name in item.partition(":")[0].split(",")]
    assert len(names) > 10
    for name in names:
        with pytest.raises(UsageError):
            load(environ={f"TELCO_STREAM_KAFKA__{name.upper().replace('.', '__')}": "1"})


def test_page_lists_the_json_keys_of_every_result() -> None:
    assert [name for name in COMMANDS if name not in RESULTS] == []


@pytest.mark.parametrize(
    "arguments",
    [
        *("model show", "config show", "sample --out a.csv --rows 10", "train --data-path labelled.csv", "demo"),
        *("contract check contract.json", "contract check --against contract.json contract.json"),
    ],
)
def test_documented_json_keys_match_a_real_result(arguments: str, tmp_path: Path) -> None:
    write_csv(tmp_path / "labelled.csv", labelled_rows(200))
    (tmp_path / "contract.json").write_bytes(builtin_content())
    _same_keys(arguments, {})


def test_documented_json_keys_match_real_results_on_kafka(kafka: str, topics: Topics, tmp_path: Path) -> None:
    send(kafka, topics.raw, [("a", b"no customer", [])])
    rows = labelled_rows(20)
    write_csv(tmp_path / "customers.csv", rows)
    outcomes = [f"{row['customerID']},{row['Churn']},2100-01-01T00:00:00Z" for row in rows]
    (tmp_path / "outcomes.csv").write_text("\n".join(["customer,outcome,time", *outcomes]))
    for arguments in [
        "topics init",
        "produce --mode batch --data-path customers.csv",
        "consume --mode batch",
        "report",
        "verify",
        "status",
        "doctor",
        "dlq list",
        "dlq list --summary",
        "dlq show 0:0",
        f"predictions show {rows[0]['customerID']}",
        f"explain --customer {rows[0]['customerID']}",
        "topics init --outcomes",
        "outcomes send outcomes.csv",
        "outcomes check",
        "quality --horizon 9999w",
        "drift",
        "dlq replay",
    ]:
        _same_keys(arguments, topics.env(kafka))


def _part(name: str) -> str:
    return COMMANDS_PAGE.partition(f"<!-- begin {name} -->")[2].partition("<!-- end -->")[0]


#: Values of options that do not accept 7.
_VALUES = {
    "--error-type": "json",
    "--delivery": "exactly-once",
    "--since": "7h",
    "--until": "7h",
    "--log-format": "json",
    "--threshold": "0.7",
    "--window": "700",
}


def _reached(name: str, given: Callable[..., dict[str, Any]]) -> set[str]:
    options = [option for option in COMMANDS[name].params if option.param_type_name == "option"]
    arguments = REQUIRED.get(name, [])
    modes = [["--mode", "batch"], []] if name == "consume" else [[]]
    free = [max(option.opts, key=len) for option in options if option.default is None]
    return {
        setting
        for flag in free
        if flag not in arguments
        for mode in modes
        for setting in given(*name.split(), *arguments, *mode, flag, _VALUES.get(flag, "7"))
    }


def _same_keys(arguments: str, env: dict[str, str]) -> None:
    done = run_in_process(*arguments.split(), "--output", "json", env=env)
    assert done.code == 0, done.err
    name = max((command for command in RESULTS if f"{arguments} ".startswith(f"{command} ")), key=len)
    actual, documented = set(json.loads(done.out.splitlines()[0])), _documented_keys(RESULTS[name])
    optional = {"analytics", "contact_plan", "drift", "lift", "previous", "reasons", "rejected_value", "replaced"}
    assert actual | optional == documented | optional
    assert actual <= documented


def _documented_keys(kind: type) -> set[str]:
    """Return the keys of a result's JSON; some of them are named by the built-in contract."""
    names = {field.name for field in fields(kind)}
    if kind is Summary:
        return names - {"by", "contract"} | {"by_contract", "by_internet_service"}
    return (names - {"message"}) | set(CODEC.predictions.names) if kind is FoundPrediction else names


def test_page_describes_the_summary_keys() -> None:
    assert RESULTS["report"] is Summary
    assert "analytics: {as report}" in " ".join(COMMANDS_PAGE.split())
