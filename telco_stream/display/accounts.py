"""The ledger's accounts for people: a row for each partition, and the first offenders below."""

from collections.abc import Iterator, Sequence

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from telco_stream.display.tables import lists
from telco_stream.display.text import count, safe
from telco_stream.ledger import Account

_NUMBERS = {
    "Inputs": "inputs",
    "Predicted": "predicted",
    "Dead": "dead_lettered",
    "Missing": "missing",
    "Twice": "duplicated",
    "Unexpl.": "unexplained",
    "Expired": "expired",
}


@lists(Account)
def accounts_grid(accounts: Sequence[Account]) -> RenderableType:
    """A row for each partition, and a line for each kind of offence that it has."""
    grid = Table(box=box.SIMPLE_HEAD, header_style="bold", show_edge=False)
    for title in ("Part.", *_NUMBERS):
        grid.add_column(title, justify="right", no_wrap=True)
    for one in accounts:
        name = "-" if one.partition is None else str(one.partition)
        grid.add_row(name, *(count(getattr(one, field)) for field in _NUMBERS.values()))
    offenders = [line for one in accounts for line in _offenders(one)]
    return Group(grid, Text(), *offenders) if offenders else grid


def _offenders(account: Account) -> Iterator[Text]:
    for kind in ("missing", "duplicated", "unexplained"):
        places = getattr(account, f"first_{kind}")
        if places:
            yield Text.assemble(f" First {kind}: ", safe(", ".join(places)), overflow="fold")
    if account.answers_to_earlier_topic:
        answers = count(account.answers_to_earlier_topic)
        yield Text(f" {answers} of the unexplained belong to an earlier topic of this name.", overflow="fold")
