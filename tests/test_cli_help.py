"""The `--help` of every command."""

from collections.abc import Iterator
from typing import Any

import pytest
import typer.main
from typer.testing import CliRunner

from telco_stream.cli import app
from telco_stream.settings import Settings
from telco_stream.settings.tree import FIELDS

ROOT: Any = typer.main.get_command(app)


def walk(command: Any = ROOT, *names: str) -> Iterator[tuple[str, Any]]:
    yield " ".join(names), command
    for name, below in sorted(getattr(command, "commands", {}).items()):
        yield from walk(below, *names, name)


EVERY = dict(walk())
#: Commands, without the groups.
COMMANDS = {name: command for name, command in EVERY.items() if not hasattr(command, "commands")}
#: The documented commands and their own options; shared options are below.
DOCUMENTED = {
    "demo": "",
    "produce": "--mode --topic --data-path --events-per-sec --batch-size --checkpoint-file --delivery --run-id --limit"
    " --seed --restart --check --bad-rows --no-live --metrics-port --log-format",
    "consume": "--mode --group --model --max-messages --idle-timeout --window-size --delivery --engine --top-k"
    " --workers --no-live --metrics-port --max-consecutive-dead-letters --exit-on-stall --log-format",
    "topics init": "--dry-run",
    "report": "--top-k --since --until --model-version --html --csv --model",
    "train": "--data-path --out",
    "sample": "--rows --seed --out",
    "data fetch": "--out",
    "dlq list": "--since --until --limit --summary --all --show-values --max-retries",
    "dlq show": "",
    "dlq replay": "--execute --only-fixed --max-retries",
    "predictions show": "--limit --records",
    "verify": "--group",
    "status": "--group --max-lag --max-age --watch --ignore-not-found",
    "doctor": "--group --model --engine --command",
    "config show": "--broker --group --model",
    "model show": "--model",
}
KAFKA_COMMANDS = [
    "produce",
    "consume",
    "topics init",
    "report",
    "predictions show",
    "dlq list",
    "dlq show",
    "dlq replay",
    "verify",
    "status",
    "doctor",
]
#: Options that are the same in all commands.
SHARED = [
    *("--broker", "--group", "--output", "--quiet", "--verbose", "--model", "--engine", "--top-k", "--log-format"),
    *("--metrics-port", "--no-live", "--since", "--until"),
]
#: Options whose help shows the default of a setting.
DEFAULTS = {
    ("produce", "--broker"): "bootstrap_servers",
    ("produce", "--topic"): "topics.raw",
    ("produce", "--events-per-sec"): "producer.events_per_sec",
    ("produce", "--batch-size"): "producer.batch_size",
    ("produce", "--checkpoint-file"): "producer.checkpoint_file",
    ("consume", "--group"): "consumer.group_id",
    ("consume", "--window-size"): "consumer.window_size",
    ("consume", "--max-consecutive-dead-letters"): "consumer.max_consecutive_dead_letters",
}


def options(name: str) -> dict[str, Any]:
    """Return the command's options by long name."""
    return {flag: option for option in EVERY[name].params for flag in option.opts if flag.startswith("--")}


def help_of(name: str) -> str:
    result = CliRunner().invoke(app, [*name.split(), "--help"], terminal_width=80, env={"COLUMNS": "80"})
    assert result.exit_code == 0
    return result.stdout


@pytest.mark.parametrize("name", EVERY)
def test_help_fits_80_columns_without_cuts(name: str) -> None:
    text = help_of(name)
    assert max(map(len, text.splitlines())) <= 80
    assert "..." not in text.replace("[,...]", "").replace("[ARGS]...", "")
    assert "…" not in text


@pytest.mark.parametrize("name", EVERY)
def test_every_command_and_option_has_help(name: str) -> None:
    assert EVERY[name].help
    assert [option.name for option in EVERY[name].params if not option.help] == []


def test_commands_are_those_documented() -> None:
    assert sorted(COMMANDS) == sorted(DOCUMENTED)


@pytest.mark.parametrize("name", DOCUMENTED)
def test_command_has_the_documented_options(name: str) -> None:
    kafka = ["--broker", "--timeout"] if name in KAFKA_COMMANDS else []
    expected = {*DOCUMENTED[name].split(), *kafka, "--output", "--quiet", "--verbose"}
    assert expected - set(options(name)) == set()


@pytest.mark.parametrize("word", SHARED)
def test_shared_option_is_the_same_in_all_commands(word: str) -> None:
    variants = {_describe(options(name)[word]) for name in COMMANDS if word in options(name)}
    assert len(variants) == 1


def test_timeout_is_the_same_in_all_kafka_commands() -> None:
    assert len({_describe(options(name)["--timeout"]) for name in KAFKA_COMMANDS}) == 1
    assert options("produce")["--timeout"].default == 10


@pytest.mark.parametrize(("option", "setting"), DEFAULTS.items())
def test_help_shows_the_default_of_the_setting(option: tuple[str, str], setting: str) -> None:
    name, flag = option
    default = FIELDS[setting].default
    text = f"{default:g}" if isinstance(default, float) else str(default)
    assert f"[default: {text}]" in options(name)[flag].help


def test_settings_have_the_defaults_of_their_fields() -> None:
    assert Settings().consumer.window_size == FIELDS["consumer.window_size"].default


def _describe(option: Any) -> tuple[str, ...]:
    return tuple(map(str, (option.opts, option.help, option.metavar, option.default, option.required)))
