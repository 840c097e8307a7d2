"""Tables of a contract, its summary, and its changes."""

from collections.abc import Iterator

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, Group, RenderResult
from rich.table import Column
from rich.text import Text

from telco_stream.contract.changes import Comparison
from telco_stream.contract.schema import Boolean, Carried, Category, Contract, Integer, Number
from telco_stream.contract.summary import ContractSummary
from telco_stream.display.layout import field_table, new_table, stack
from telco_stream.display.text import safe_text
from telco_stream.runtime.humanize import count_of

#: Values of a category that are drawn; a line ends before that many.
_MAX_VALUES = 40
#: Columns of a table: the longest name, the longest kind, the least of accepted values, and blanks between them.
_NAME_WIDTH, _KIND_WIDTH, _MIN_ACCEPTS, _SPACES = 26, 8, 10, 11
_STYLES = {"breaking": "red", "needs retraining": "yellow", "compatible": "green"}
_VERDICTS = {
    "compatible": "Compatible: producers, the model and readers of predictions are not affected.",
    "needs retraining": "Needs retraining: producers and readers of predictions are not affected.",
    "breaking": "Breaking: records, predictions or the model of the older contract do not fit.",
}


def contract_tables(contract: Contract) -> Group:
    """Draw the settings of a contract, and below them a row for each column."""
    label = contract.label
    fields = {
        "contract": contract.name,
        "describes": contract.plural,
        "probability": f"{label.probability}: that {label.name} is {label.positive}",
        "missing in CSV": contract.missing,
    }
    return stack(field_table({name: value for name, value in fields.items() if value}), _ColumnTable(contract))


class _ColumnTable:
    """A row for each column of the records, of one line: long values are cut before the meaning of null."""

    def __init__(self, contract: Contract) -> None:
        label = f"{contract.label.positive}, {contract.label.negative}"
        #: Name, kind, accepted values, exceptions and role.
        self._rows = [
            (contract.key.name, contract.key.kind, "", "", "key"),
            (contract.time.name, "time", "RFC 3339", "", "time"),
            *(_row(contract, column) for column in contract.columns),
            (contract.label.name, "text", label, "", "label"),
        ]

    def __rich_console__(self, _console: Console, options: ConsoleOptions) -> RenderResult:
        name, role = (max(cell_len(row[index]) for row in self._rows) for index in (0, 4))
        name = min(_NAME_WIDTH, name)
        width = max(_MIN_ACCEPTS, options.max_width - name - _KIND_WIDTH - role - _SPACES)
        table = new_table(
            Column("Column", no_wrap=True, overflow="ellipsis", width=name),
            Column("Kind", no_wrap=True, width=_KIND_WIDTH),
            Column("Accepts", no_wrap=True, overflow="ellipsis", width=width),
            Column("Role", no_wrap=True, width=role),
        )
        for column, kind, values, exceptions, roles in self._rows:
            accepts = safe_text(values)
            accepts.truncate(max(_MIN_ACCEPTS, width - cell_len(exceptions)), overflow="ellipsis")
            table.add_row(safe_text(column), kind, accepts.append_text(safe_text(exceptions)), roles)
        yield table


def _row(contract: Contract, column: Carried) -> tuple[str, str, str, str, str]:
    exceptions = "".join(f"; {exception}" for exception in _exceptions(column))
    return column.name, column.kind, _accepts(column), exceptions, ", ".join(_roles(contract, column))


def summary_table(summary: ContractSummary) -> Group:
    """Draw a summary as fields."""
    counts = [count_of(number, kind) for kind, number in summary.features.items() if number]
    fields = {
        "contract": summary.name,
        "key": summary.key,
        "time": summary.time,
        "label": f"{summary.label}: {summary.positive} or {summary.negative}",
        "features": f"{sum(summary.features.values())}: {', '.join(counts)}".replace("categorys", "categories"),
        "carry": summary.carry,
        "segments": summary.segments,
    }
    return stack(Text("The contract is valid.", "green"), field_table(fields))


def comparison_table(comparison: Comparison) -> Group:
    """Draw the verdict and a row for each change."""
    if not comparison.changes:
        return stack(Text("The contracts are the same.", "green"))
    table = new_table(Column("Effect", no_wrap=True), Column("Change", overflow="fold"), Column("Reason"))
    for change in comparison.changes:
        text = safe_text(f"{change.path}: {change.change}")
        table.add_row(Text(change.effect, _STYLES[change.effect]), text, safe_text(change.reason))
    return stack(Text(_VERDICTS[comparison.verdict], _STYLES[comparison.verdict]), table)


def _accepts(column: Carried) -> str:
    if isinstance(column, Number | Integer):
        return f"{column.minimum:,.10g} to {column.maximum:,.10g}"
    if isinstance(column, Category):
        return ", ".join(column.values[:_MAX_VALUES])
    return "true, false" if isinstance(column, Boolean) else f"up to {count_of(column.max_length, 'character')}"


def _exceptions(column: Carried) -> Iterator[str]:
    fill = getattr(column, "fill", None)
    if column.nullable:
        yield "null" if fill is None else f"null as {fill:,.10g}"
    if column.optional:
        yield "absent"
    if isinstance(column, Category) and column.other is not None:
        yield f"unknown as {column.other}"


def _roles(contract: Contract, column: Carried) -> Iterator[str]:
    only = "" if column in contract.features else " only"
    if column.name in contract.segments:
        yield f"segment{only}"
    elif column.name in contract.repeated:
        yield f"carried{only}"
    if column.name == contract.charge:
        yield "charge"
    if column.name not in {*contract.repeated, contract.charge}:
        yield "feature"
