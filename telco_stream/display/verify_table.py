"""The table of `verify`: a row for each partition, and below it the first offsets that are wrong."""

from collections.abc import Iterator, Sequence

from rich.console import Group, RenderableType
from rich.text import Text

from telco_stream.display.tables import list_table, new_table
from telco_stream.display.text import safe_text
from telco_stream.runtime.humanize import format_count
from telco_stream.verify.ledger import Account

_COLUMNS = {
    "Inputs": "inputs",
    "Predicted": "predicted",
    "Dead": "dead_lettered",
    "Missing": "missing",
    "Twice": "duplicated",
    "Unexpl.": "unexplained",
    "Expired": "expired",
}


@list_table(Account)
def account_table(accounts: Sequence[Account]) -> RenderableType:
    """Draw a row for each partition and a line for each kind of error that it has."""
    table = new_table()
    for title in ("Part.", *_COLUMNS):
        table.add_column(title, justify="right", no_wrap=True)
    for account in accounts:
        partition = "-" if account.partition is None else str(account.partition)
        table.add_row(partition, *(format_count(getattr(account, field)) for field in _COLUMNS.values()))
    errors = [line for account in accounts for line in _error_lines(account)]
    return Group(table, Text(), *errors) if errors else table


def _error_lines(account: Account) -> Iterator[Text]:
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
