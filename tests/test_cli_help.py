"""What `--help` says of every command, read from the commands themselves."""

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
#: Those that do something.
COMMANDS = {name: command for name, command in EVERY.items() if not hasattr(command, "commands")}
#: The commands of the interface, with the options that are their own; `--broker` and the like are below.
PROMISED = {
    "demo": "",
    "produce": "--mode --topic --data-path --events-per-sec --batch-size --checkpoint-file --delivery --run-id --limit"
    " --seed --restart --no-live --metrics-port --log-format",
    "consume": "--mode --group --model --max-messages --idle-timeout --window-size --delivery --engine --top-k"
    " --workers --no-live --metrics-port --max-consecutive-dead-letters --exit-on-stall --log-format",
    "topics init": "--dry-run",
    "report": "--top-k --since --until --model-version --html --csv --model",
    "train": "--data-path --out",
    "sample": "--rows --seed --out",
    "data fetch": "--out",
    "dlq list": "--since --until --limit --summary",
    "dlq show": "",
    "dlq replay": "--execute --only-fixed --max-retries",
    "verify": "--group",
    "status": "--group --max-lag --max-age",
    "config show": "--broker --group --model",
    "model show": "--model",
}
TALK_TO_KAFKA = [
    "produce",
    "consume",
    "topics init",
    "report",
    "dlq list",
    "dlq show",
    "dlq replay",
    "verify",
    "status",
]
#: Options that mean the same wherever they are.
SHARED = [
    *("--broker", "--group", "--output", "--quiet", "--verbose", "--model", "--engine", "--top-k", "--log-format"),
    *("--metrics-port", "--no-live", "--since", "--until"),
]
#: Options whose default is a setting's, shown in their help.
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
    """The command's options by their long names."""
    return {word: one for one in EVERY[name].params for word in one.opts if word.startswith("--")}


def help_of(name: str) -> str:
    result = CliRunner().invoke(app, [*name.split(), "--help"], terminal_width=80, env={"COLUMNS": "80"})
    assert result.exit_code == 0
    return result.stdout


@pytest.mark.parametrize("name", EVERY)
def test_help_fits_80_columns_whole(name: str) -> None:
    text = help_of(name)
    assert max(map(len, text.splitlines())) <= 80
    assert "..." not in text.replace("[,...]", "").replace("[ARGS]...", "")
    assert "…" not in text


@pytest.mark.parametrize("name", EVERY)
def test_every_command_and_option_says_what_it_is_for(name: str) -> None:
    assert EVERY[name].help
    assert [one.name for one in EVERY[name].params if not one.help] == []


def test_the_commands_are_those_of_the_interface() -> None:
    assert sorted(COMMANDS) == sorted(PROMISED)


@pytest.mark.parametrize("name", PROMISED)
def test_a_command_has_the_options_of_the_interface(name: str) -> None:
    kafka = ["--broker", "--timeout"] if name in TALK_TO_KAFKA else []
    promised = {*PROMISED[name].split(), *kafka, "--output", "--quiet", "--verbose"}
    assert promised - set(options(name)) == set()


@pytest.mark.parametrize("word", SHARED)
def test_an_option_that_commands_share_is_the_same_everywhere(word: str) -> None:
    said = {_looks(options(name)[word]) for name in COMMANDS if word in options(name)}
    assert len(said) == 1


def test_the_wait_for_kafka_is_the_same_everywhere() -> None:
    assert len({_looks(options(name)["--timeout"]) for name in TALK_TO_KAFKA}) == 1
    assert options("produce")["--timeout"].default == 10


@pytest.mark.parametrize(("place", "leaf"), DEFAULTS.items())
def test_the_default_shown_is_the_setting_s(place: tuple[str, str], leaf: str) -> None:
    name, word = place
    default = FIELDS[leaf].default
    shown = f"{default:g}" if isinstance(default, float) else str(default)
    assert f"[default: {shown}]" in options(name)[word].help


def test_settings_made_by_hand_have_the_same_defaults() -> None:
    assert Settings().consumer.window_size == FIELDS["consumer.window_size"].default


def _looks(option: Any) -> tuple[str, ...]:
    return tuple(map(str, (option.opts, option.help, option.metavar, option.default, option.required)))
