"""The results of `contract infer`: the contract's columns with what to review, or candidates for their roles."""

from rich.cells import cell_len
from rich.console import Group, RenderableType
from rich.table import Column
from rich.text import Text

from telco_stream.contract.inference.draft import InferredColumn
from telco_stream.csv.inference import Candidates, InferResult
from telco_stream.display.layout import field_table, name_column, new_table, stack
from telco_stream.display.text import safe_text
from telco_stream.runtime.humanize import count_of, format_share

_NEVER_GUESSED = " Key, label and positive value are never guessed. Candidates, best first:"
#: Columns up to which a name is on one line.
_NAME_WIDTH = 30


def inferred_tables(result: InferResult) -> Group:
    """Draw the roles and counts, and below them a row for each column of the file."""
    share = format_share(result.positive_rows, result.rows)
    fields = {
        "file": f"{result.file}: {count_of(result.rows, 'row')}, {count_of(len(result.columns), 'column')}",
        "contract": f"{result.contract}: {result.name}",
        "key": result.key,
        "label": f"{result.label}: {result.positive} in {count_of(result.positive_rows, 'row')}, {share}",
        "features": f"{result.features}; {count_of(result.left_out, 'column')} left out",
        "possible_segments": result.possible_segments,
    }
    width = min(_NAME_WIDTH, max(cell_len(column.column) for column in result.columns))
    becomes, notes = Column("Becomes", overflow="fold"), Column("Notes", overflow="fold")
    table = new_table(Column("Column", overflow="fold", min_width=width), becomes, notes)
    for column in result.columns:
        table.add_row(safe_text(column.column), _becomes(column), _review(column))
    return stack(field_table(fields), table)


def candidate_tables(candidates: Candidates) -> Group:
    """Draw the columns that could be the key, and possible labels with their values."""
    blocks: list[RenderableType] = [Text(_NEVER_GUESSED)]
    if candidates.keys is not None:
        keys = new_table(name_column("Key"), Column("Why"))
        for key in candidates.keys:
            reason = "another text in each row" if key.is_unique else "named like an ID; several rows have the same"
            keys.add_row(safe_text(key.column), reason)
        keys.add_row("--number-rows", "numbers the rows of a file without a key")
        blocks.append(keys)
    labels = new_table(
        name_column("Label"), Column("Positive value", overflow="fold"), Column("Other value", overflow="fold")
    )
    for label in candidates.labels:
        values = (f"{text} ({count_of(rows, 'row')})" for text, rows in label.values.items())
        labels.add_row(*map(safe_text, (label.column, *values)))
    return stack(*blocks, labels)


def _becomes(column: InferredColumn) -> Text:
    if column.role == "left out":
        return Text("left out", "dim")
    return safe_text(column.becomes if column.role == "feature" else f"{column.role}, {column.becomes}")


def _review(column: InferredColumn) -> Text:
    """Return the leak first, then why the column is left out, or the notes about it."""
    notes = [column.becomes] if column.role == "left out" else [*column.notes]
    parts = [safe_text(f"leak: {column.leak}", "bold red")] if column.leak else []
    return Text("; ").join([*parts, *map(safe_text, notes)])
