"""The `--help` of every command."""

import shlex
from collections.abc import Iterator
from typing import Any

import pytest
import typer.main
from typer.testing import CliRunner

from telco_stream.cli import make_app
from telco_stream.cli.help import PAGES, settings_of
from telco_stream.cli.unknown_options import OTHERWISE, SAME, advise
from telco_stream.errors import TelcoStreamError
from telco_stream.runtime.choices import ONLY_FLAGS, variable_of
from telco_stream.settings import Settings
from telco_stream.settings.sources import FLAGS
from telco_stream.settings.tree import FIELDS
from tests.support.in_process import run_in_process

ROOT: Any = typer.main.get_command(make_app())


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
    "consume": "--mode --topic --group --model --limit --max-messages --idle-timeout --batch-size --window-size"
    " --delivery --engine --top-k --holdout-percent --workers --no-live --metrics-port"
    " --max-consecutive-dead-letters --exit-on-stall --log-format",
    "topics init": "--topic --models --outcomes --dry-run",
    "report": "--top-k --since --until --model-version --drift --html --quality --outcomes --horizon --csv --model",
    "train": "--data-path --out",
    "sample": "--rows --seed --out",
    "data fetch": "--out",
    "contract infer": "--key --label --positive --number-rows --out --replace --delimiter --segment --leave-out"
    " --entity --name",
    "dlq list": "--topic --since --until --limit --summary --all --show-values --max-retries",
    "dlq show": "",
    "dlq replay": "--topic --execute --only-fixed --max-retries",
    "predictions show": "--limit --records",
    "verify": "--topic --group",
    "status": "--topic --group --max-lag --max-age --watch --ignore-not-found",
    "doctor": "--topic --group --model --engine --command",
    "contract check": "--against",
    "contract show": "--model --contract --schema",
    "config show": "--broker --topic --group --model",
    "model show": "--model",
    "model import": "--data --contract --out --holdout --threshold --contact-cost --customer-value --trust"
    " --number-rows --delimiter --replace",
    "model publish": "",
    "model promote": "--canary --shadow --wait --wait-seconds",
    "model rollback": "",
    "model list": "",
    "model history": "",
    "outcomes send": "--model --contract --delimiter --checkpoint-file --delivery --run-id --limit --restart --check"
    " --bad-rows",
    "outcomes check": "--group --model --max-consecutive-dead-letters",
    "quality": "--outcomes --model --contract --delimiter --horizon --capacity --uplift --since --until"
    " --model-version",
    "explain": "--customer --source --change --model --engine --records",
    "drift": "--topic --model --engine --since --until --window",
    "model recalibrate": "--outcomes --delimiter --horizon --out --threshold --contact-cost --customer-value --replace"
    " --since --until",
    "model compare": "--data --delimiter --number-rows --limit",
}
KAFKA_COMMANDS = [
    "produce",
    "consume",
    "topics init",
    "report",
    "predictions show",
    "outcomes send",
    "outcomes check",
    "quality",
    "drift",
    "explain",
    "dlq list",
    "dlq show",
    "dlq replay",
    "verify",
    "status",
    "doctor",
    *("model show", "model publish", "model promote", "model rollback", "model list", "model history", "model compare"),
    "model recalibrate",
]
#: Options that are the same in all commands.
SHARED = [
    *("--broker", "--group", "--output", "--quiet", "--verbose", "--model", "--engine", "--top-k", "--log-format"),
    *("--metrics-port", "--no-live", "--since", "--until", "--topic"),
]
#: Options whose help shows the default of a setting.
DEFAULTS = {
    ("produce", "--broker"): "bootstrap_servers",
    ("produce", "--topic"): "topics.raw",
    ("produce", "--events-per-sec"): "producer.events_per_sec",
    ("produce", "--batch-size"): "producer.batch_size",
    ("produce", "--checkpoint-file"): "producer.checkpoint_file",
    ("consume", "--group"): "consumer.group_id",
    ("consume", "--batch-size"): "consumer.window_size",
    ("consume", "--max-consecutive-dead-letters"): "consumer.max_consecutive_dead_letters",
}


def options(name: str) -> dict[str, Any]:
    """Return the command's options by long name."""
    return {flag: option for option in EVERY[name].params for flag in option.opts if flag.startswith("--")}


def help_of(name: str) -> str:
    result = CliRunner().invoke(make_app(), [*name.split(), "--help"], terminal_width=80, env={"COLUMNS": "80"})
    assert result.exit_code == 0
    return result.stdout


def section(name: str, title: str) -> list[str]:
    """Return the lines of a section of the help, or nothing without it."""
    _, _, rest = help_of(name).partition(f"\n{title}:\n")
    return rest.split("\n\n")[0].splitlines()


@pytest.mark.parametrize("name", EVERY)
def test_help_fits_80_columns_without_cuts(name: str) -> None:
    text = help_of(name)
    assert max(map(len, text.splitlines())) <= 80
    assert "..." not in text.replace("[,...]", "").replace("[ARGS]...", "")
    assert "…" not in text


def test_usage_names_a_required_argument_without_braces() -> None:
    assert help_of("predictions show").startswith("Usage: telco-stream predictions show [OPTIONS] CUSTOMER\n")


@pytest.mark.parametrize("name", EVERY)
def test_every_command_and_option_has_help(name: str) -> None:
    assert EVERY[name].help
    assert [option.name for option in EVERY[name].params if not option.help] == []


@pytest.mark.parametrize("name", COMMANDS)
def test_help_ends_with_an_example_that_parses(name: str) -> None:
    lines = section(name, "Example")
    words = shlex.split(" ".join(lines))
    assert words[: len(name.split()) + 1] == ["telco-stream", *name.split()]
    COMMANDS[name].make_context(name, words[len(name.split()) + 1 :])


@pytest.mark.parametrize("name", COMMANDS)
def test_help_names_the_variable_of_each_setting_on_one_line(name: str) -> None:
    words = " ".join(section(name, "Environment variables (an option has priority)")).split()
    overridden = list(settings_of(COMMANDS[name]))
    assert [word for word in words if word.startswith("TELCO_")] == [variable_of(item.name) for _, item in overridden]
    assert [word for word in words if word.startswith("--")] == [option.opts[0] for option, _ in overridden]
    assert {FLAGS[setting.name] for _, setting in overridden} <= set(options(name))


@pytest.mark.parametrize("name", COMMANDS)
def test_help_lists_the_exit_codes_of_the_command(name: str) -> None:
    """Commands of Kafka may exit with 3, those that read a model with 4; the README explains each code."""
    codes = {int(line.split()[0]) for line in section(name, "Exit codes")}
    raised = {TelcoStreamError.exit_code, *(error.exit_code for error in TelcoStreamError.__subclasses__())}
    assert {0, 1, 2, 130} <= codes <= {0, 130, *raised}
    assert (3 in codes) == (name in KAFKA_COMMANDS)
    reads_model = bool({"--engine", "--model"} & set(options(name))) or name in {
        "produce",
        "sample",
        "train",
        "model publish",
        "model promote",
        "model compare",
        "model import",
        "model recalibrate",
    }
    assert (4 in codes) == (reads_model and name != "config show")
    assert (6 in codes) == (name in {"produce", "consume", "dlq replay", "outcomes send", "outcomes check"})


@pytest.mark.parametrize("name", EVERY)
def test_help_ends_with_a_link_to_the_page(name: str) -> None:
    anchor = f"#{name.replace(' ', '-')}" if name in COMMANDS else ""
    assert help_of(name).splitlines()[-1].endswith(f"/commands.md{anchor}")


def test_pages_are_those_of_the_commands() -> None:
    assert sorted(PAGES) == sorted(COMMANDS)


def test_mode_has_the_same_values_in_all_commands() -> None:
    with_mode = [name for name in COMMANDS if "--mode" in options(name)]
    assert with_mode == ["consume", "produce"]
    assert len({help_of(name).split("--mode ")[1].split()[0] for name in with_mode}) == 1


@pytest.mark.parametrize("name", ["produce", "consume", "dlq list", "dlq replay", "predictions show"])
def test_limit_and_batch_size_have_one_name(name: str) -> None:
    assert "--limit" in options(name)
    assert ("--batch-size" in options(name)) == (name in {"produce", "consume"})


def test_options_that_are_not_settings_exist_with_their_values() -> None:
    """The errors of settings suggest them."""
    every = {flag: option for name in COMMANDS for flag, option in options(name).items()}
    assert ONLY_FLAGS.keys() <= every.keys()
    for flag, values in ONLY_FLAGS.items():
        name = next(name for name in COMMANDS if flag in options(name))
        assert not values or f"{flag} <{'|'.join(values)}>" in help_of(name)


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
    more = ", or at most 5000 in streaming mode" if option == ("consume", "--batch-size") else ""
    assert f"[default: {text}{more}]" in options(name)[flag].help


def test_settings_have_the_defaults_of_their_fields() -> None:
    assert Settings().consumer.window_size == FIELDS["consumer.window_size"].default


def _describe(option: Any) -> tuple[str, ...]:
    return tuple(map(str, (option.opts, option.help, option.metavar, option.default, option.required)))


@pytest.mark.parametrize(
    ("arguments", "advice"),
    [
        ("consume --bootstrap-server x", "use --broker"),
        ("dlq list --bootstrap-server=x", "use --broker"),
        ("topics init -b x", "use --broker"),
        ("verify --group-id x", "use --group"),
        ("consume --from-beginning", "a new --group starts at the oldest record"),
        ("report --from-beginning", "without --since, everything is read"),
        ("consume --partition 0", "Kafka assigns the partitions to the members of --group"),
        ("produce --max-messages 3", "use --limit"),
        ("consume --timeout-ms 500", "use --idle-timeout"),
        ("status --timeout-ms 500", "use --timeout"),
        ("topics init --replication-factor 3", "set TELCO_STREAM_TOPICS__REPLICATION_FACTOR"),
        (
            "report --consumer.config x",
            "set client properties as TELCO_STREAM_KAFKA__NAME, with __ for each dot",
        ),
    ],
)
def test_unknown_option_of_other_tools_gets_advice(arguments: str, advice: str) -> None:
    done = run_in_process(*arguments.split(), env={})
    words = arguments.split()
    option = next(word for word in words if word.startswith("-")).partition("=")[0]
    assert (done.code, done.err.splitlines()[-1]) == (2, f"Error: No such option: {option}; {advice}")


@pytest.mark.parametrize("arguments", ["demo --bootstrap-server x", "sample --partition 0", "verify --xyz"])
def test_unknown_option_gets_no_advice_when_nothing_does_the_same(arguments: str) -> None:
    assert run_in_process(*arguments.split(), env={}).err.splitlines()[-1].endswith(arguments.split()[1])


@pytest.mark.parametrize("option", sorted({*SAME, *OTHERWISE}))
def test_advice_is_about_an_option_that_is_unknown_somewhere(option: str) -> None:
    known = {name: {flag for each in command.params for flag in each.opts} for name, command in COMMANDS.items()}
    assert any(option not in flags and advise(option, flags) for flags in known.values())


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ("consume --mode stream", "'stream' is not one of 'batch', 'streaming'."),
        ("status -o xml", "'xml' is not one of 'table', 'json'."),
        ("produce --batch-size x", "must be a valid integer"),
        ("report --timeout 0", "must be greater than or equal to 0.1"),
    ],
)
def test_option_is_refused_in_the_words_of_settings(arguments: str, reason: str) -> None:
    done = run_in_process(*arguments.split(), env={})
    assert done.code == 2
    assert done.err.splitlines()[-1].partition(": ")[2].partition(": ")[2] == reason
