"""The end of `--help`: an example, environment variables, exit codes and a link to the documentation."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from telco_stream.cli.options import Setting
from telco_stream.cli.unknown_options import advise
from telco_stream.runtime.choices import variable_of

#: The base of typer's usage errors, which typer does not export; that of an unknown option has an `option_name`.
_UsageError: Any = typer.BadParameter.__base__
#: Columns of the longest option in the list of variables that shares its line.
_OPTION_WIDTH = 18

_ALWAYS = {
    0: "done, or stopped when asked",
    1: "a bug: please report the traceback",
    2: "wrong usage or configuration",
    130: "ended at once by Ctrl-C",
}
_KAFKA = _ALWAYS | {3: "Kafka is unreachable, denies access or lacks a topic"}
_MODEL = {4: "the model was refused"}
_FENCED = {6: "another instance has taken over"}


@dataclass(frozen=True, slots=True)
class Page:
    """End of the help of a command: an example, and the exit codes that the command can return."""

    example: str
    exit_codes: dict[int, str]


#: By command.
PAGES = {
    "demo": Page("telco-stream demo", _ALWAYS | _MODEL),
    "produce": Page(
        "telco-stream produce --mode batch --data-path customers.csv",
        _KAFKA | _MODEL | {5: "a row of the file is malformed, or the checkpoint is of another file"} | _FENCED,
    ),
    "consume": Page(
        "telco-stream consume --mode batch --batch-size 500",
        _KAFKA | _MODEL | {5: "too many dead letters in a row, or the group's offsets are lost"} | _FENCED,
    ),
    "report": Page(
        "telco-stream report --since 24h --html report.html",
        _KAFKA | _MODEL | {5: "a row of the file of outcomes is malformed"},
    ),
    "verify": Page("telco-stream verify --output json", _KAFKA | {5: "an input has no answer, or more than one"}),
    "status": Page("telco-stream status --max-lag 1000 --max-age 300", _KAFKA | {5: "a limit is exceeded"}),
    "doctor": Page(
        "telco-stream doctor --command consume", _KAFKA | _MODEL | {5: "topics, clocks or disk need attention"}
    ),
    "train": Page(
        "telco-stream train --data-path labelled.csv --out models/v2",
        _ALWAYS | _MODEL | {5: "the file has a malformed or unlabelled row, or too few rows"},
    ),
    "sample": Page("telco-stream sample --rows 500 --out customers.csv", _ALWAYS | _MODEL),
    "topics init": Page("telco-stream topics init --dry-run", _KAFKA),
    "dlq list": Page("telco-stream dlq list --since 2h --limit 20", _KAFKA | _MODEL),
    "dlq show": Page("telco-stream dlq show 0:17", _KAFKA | {5: "no dead letter is at this position"}),
    "dlq replay": Page("telco-stream dlq replay --only-fixed --execute", _KAFKA | _MODEL | _FENCED),
    "predictions show": Page(
        "telco-stream predictions show 7590-VHVEG", _KAFKA | _MODEL | {5: "no prediction was found"}
    ),
    "outcomes send": Page(
        "telco-stream outcomes send outcomes.csv --run-id 2026-11",
        _KAFKA | _MODEL | {5: "a row of the file is malformed, or the checkpoint is of another file"} | _FENCED,
    ),
    "outcomes check": Page(
        "telco-stream outcomes check --output json", _KAFKA | _MODEL | {5: "too many dead letters in a row"} | _FENCED
    ),
    "quality": Page(
        "telco-stream quality --outcomes outcomes.csv --horizon 30d",
        _KAFKA | _MODEL | {5: "no prediction has an outcome, or a row of the file is malformed"},
    ),
    "explain": Page(
        "telco-stream explain --customer 7590-VHVEG",
        _KAFKA | _MODEL | {5: "the prediction can't be reproduced, or it or its record was not found"},
    ),
    "drift": Page("telco-stream drift --since 24h", _KAFKA | _MODEL | {5: "features or scores drifted in the period"}),
    "model import": Page(
        "telco-stream model import model.ubj --contract contract.json --data labelled.csv",
        _ALWAYS | {4: "the model cannot be imported", 5: "a file has a malformed or unlabelled row, or too few rows"},
    ),
    "model recalibrate": Page(
        "telco-stream model recalibrate models/v2 --outcomes outcomes.csv --out models/v3",
        _KAFKA | _MODEL | {5: "too few outcomes, or a row of the file is malformed"},
    ),
    "model show": Page("telco-stream model show --model models/v2", _KAFKA | _MODEL),
    "model publish": Page("telco-stream model publish models/v2", _KAFKA | _MODEL),
    "model promote": Page(
        "telco-stream model promote 2026-11-28-597d142a --canary 5",
        _KAFKA | _MODEL | {5: "--wait: answers do not name it in time"},
    ),
    "model rollback": Page("telco-stream model rollback", _KAFKA),
    "model list": Page("telco-stream model list --output json", _KAFKA),
    "model history": Page("telco-stream model history", _KAFKA),
    "model compare": Page(
        "telco-stream model compare models/churn models/v2 --data labelled.csv",
        _KAFKA | _MODEL | {5: "the file has a malformed or unlabelled row"},
    ),
    "contract infer": Page(
        "telco-stream contract infer accounts.csv --key account_id --label left --positive 1",
        _ALWAYS | {5: "the file cannot be read or has a malformed row"},
    ),
    "contract check": Page(
        "telco-stream contract check contract.json --against old.json", _ALWAYS | {5: "a change is breaking"}
    ),
    "contract show": Page("telco-stream contract show --output json", _ALWAYS | _MODEL),
    "data fetch": Page("telco-stream data fetch", _ALWAYS | {5: "the download failed, or is another file"}),
    "config show": Page("telco-stream config show --output json", _ALWAYS),
}


def settings_of(command: Any) -> Iterator[tuple[Any, Setting]]:  # noqa: ANN401 - the type is private to typer
    """Yield the options of a command that override settings, each with its setting."""
    annotations = getattr(command.callback, "__annotations__", {})
    for option in command.params:
        for item in getattr(annotations.get(option.name), "__metadata__", ()):
            if isinstance(item, Setting):
                yield option, item


class Command(TyperCommand):
    """A command whose help ends with its page, and which refuses options in the same words as settings."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401 - types are private to typer
        """Parse the arguments; reword the reason for which a value is refused, and advise on options of other tools."""
        try:
            return super().parse_args(ctx, args)
        except typer.BadParameter as error:
            from telco_stream.settings import reword

            error.message = reword(error.message)
            raise
        except _UsageError as error:
            known = {name for option in self.params for name in option.opts}
            option = getattr(error, "option_name", "")
            if option not in known and (advice := advise(option, known)):
                error.message, error.possibilities = f"{error.message}; {advice}", None
            raise

    def collect_usage_pieces(self, ctx: Any) -> list[str]:  # noqa: ANN401 - types are private to typer
        """Return the parts of the usage line; a required argument is `NAME`, for which typer writes `{NAME}`."""
        return [piece.strip("{}") for piece in super().collect_usage_pieces(ctx)]

    def format_epilog(self, ctx: Any, formatter: Any) -> None:  # noqa: ANN401 - types are private to typer
        """Write the example, the variables, the exit codes and the link."""
        name = ctx.command_path.removeprefix(ctx.find_root().command_path).strip()
        page = PAGES[name]
        with formatter.section("Example"):
            formatter.write_text(page.example)
        variables = [(option.opts[0], _describe(setting)) for option, setting in settings_of(self)]
        if variables:
            with formatter.section("Environment variables (an option has priority)"):
                formatter.write_dl(variables, col_max=_OPTION_WIDTH)
        with formatter.section("Exit codes"):
            formatter.write_dl([(str(code), meaning) for code, meaning in sorted(page.exit_codes.items())])
        _write_link(formatter, f"commands.md#{name.replace(' ', '-')}")


class Group(TyperGroup):
    """A group of commands whose help ends with a link."""

    def format_epilog(self, ctx: Any, formatter: Any) -> None:  # noqa: ANN401, ARG002 - as above
        """Write the link."""
        _write_link(formatter, "commands.md")


def _describe(setting: Setting) -> str:
    return variable_of(setting.name) + (f" ({setting.mode})" if setting.mode else "")


def _write_link(formatter: Any, page: str) -> None:  # noqa: ANN401 - as above
    from telco_stream.runtime.docs import docs_link

    formatter.write_paragraph()
    formatter.write(f"Docs: {docs_link(page)}\n")
