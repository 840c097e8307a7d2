"""The result of `verify`: the verdict, the counts, and what was found with its likely cause."""

import textwrap
from collections.abc import Iterator, Sequence

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

from telco_stream.checks.ledger import Account
from telco_stream.checks.verdict import Finding, VerifyResult
from telco_stream.display.layout import field_table, new_table, number_column, stack
from telco_stream.display.text import result_fields, safe_text
from telco_stream.runtime.humanize import format_count

#: Counts of a partition's account, by heading.
_COUNTS = {"Inputs": "inputs", "Predicted": "predicted", "Dead": "dead_lettered"}
#: Counts that have a column only if one of them is not 0, so that the table fits a narrow terminal.
_RARE_COUNTS = {"Missing": "missing", "Twice": "duplicated", "Unexpl.": "unexplained", "Expired": "expired"}
#: Fields that are drawn separately.
_SEPARATE_FIELDS = frozenset({"verdict", "partitions", "findings"})


def verify_tables(result: VerifyResult) -> Group:
    """Draw the verdict, the sums, a row for each partition, and the findings."""
    verdict = safe_text(f" {result.verdict}", "bold green" if result.is_clean else "bold red")
    sums = {name: value for name, value in result_fields(result).items() if name not in _SEPARATE_FIELDS}
    positions = [line for account in result.partitions for line in _position_lines(account)]
    positions += _unanswered_lines(result.partitions)
    blocks: list[RenderableType] = [verdict, field_table(sums), _account_table(result.partitions)]
    return stack(*blocks, *([Group(*positions)] if positions else []), *map(_FindingBlock, result.findings))


def _account_table(accounts: Sequence[Account]) -> Table:
    rare = {
        title: field for title, field in _RARE_COUNTS.items() if any(getattr(account, field) for account in accounts)
    }
    counts = _COUNTS | rare
    table = new_table(*map(number_column, ("Part.", *counts)))
    for account in accounts:
        partition = "-" if account.partition is None else str(account.partition)
        table.add_row(partition, *(format_count(getattr(account, field)) for field in counts.values()))
    return table


def _position_lines(account: Account) -> Iterator[Text]:
    for kind in ("missing", "duplicated", "unexplained"):
        positions = getattr(account, f"first_{kind}")
        if positions:
            yield Text.assemble(f" First {kind}: ", safe_text(", ".join(positions)), overflow="fold")
    if account.expired_unanswered:
        records = format_count(account.expired_unanswered)
        text = f" Partition {account.partition}: retention deleted up to {records} records before they were answered."
        yield Text(text, overflow="fold")
    if account.answers_to_earlier_topic:
        answers = format_count(account.answers_to_earlier_topic)
        yield Text(f" {answers} of the unexplained belong to an earlier topic of this name.", overflow="fold")


def _unanswered_lines(accounts: Sequence[Account]) -> Iterator[Text]:
    """Yield a line with the unanswered inputs of each partition; another column might not fit beside the others."""
    counts = [f"{account.partition}: {format_count(account.unanswered)}" for account in accounts if account.unanswered]
    if counts:
        yield Text(f" Not answered yet, by partition: {', '.join(counts)}", overflow="fold")


class _FindingBlock:
    """A finding, its likely cause, and a command that can be copied even if it takes several lines."""

    def __init__(self, finding: Finding) -> None:
        self._finding = finding

    def __rich_console__(self, _console: Console, options: ConsoleOptions) -> RenderResult:
        finding, width = self._finding, max(20, options.max_width - 3)
        yield safe_text(f" {finding.finding[:1].upper()}{finding.finding[1:]}", "bold")
        yield field_table({"likely_cause": finding.likely_cause})
        yield Text(" Investigate:", "bold")
        lines = textwrap.wrap(finding.investigate, width, break_long_words=False, break_on_hyphens=False)
        yield Text.assemble(" ", safe_text(lines[0]), *(f" \\\n {line}" for line in lines[1:]), overflow="fold")
