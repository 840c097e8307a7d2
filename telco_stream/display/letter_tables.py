"""Lists and summaries of dead letters as tables."""

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.table import Column
from rich.text import Text

from telco_stream.display.layout import new_table, number_column, stack, time_column
from telco_stream.display.text import format_timestamp, humanize, safe_text
from telco_stream.dlq.listing import LetterOfAnyState, LetterSummary, ListedLetter, ReasonCount
from telco_stream.runtime.humanize import format_count

#: Characters of the longest key, and of the narrowest reason.
_KEY_WIDTH = 12
_REASON_WIDTH = 12


def letter_table(letters: Sequence[ListedLetter]) -> RenderableType:
    """Draw a row for each dead letter, its position as `dlq show` accepts it, with its retries or its state.

    The topic of the records is named once below the table if it is the same for all, and otherwise in each reason.
    """
    with_state = isinstance(letters[0], LetterOfAnyState)
    time = time_column("Failed at (UTC)")
    key = Column("Key", no_wrap=True, overflow="ellipsis", max_width=_KEY_WIDTH)
    reason = Column("Reason", overflow="fold", min_width=_REASON_WIDTH)
    state = Column("State", no_wrap=True) if with_state else number_column("Retries")
    table = new_table(number_column("Letter"), time, key, state, reason, pad_edge=False)
    topics = {_source_topic(letter) for letter in letters}
    for letter in letters:
        position = f"{letter.partition}:{letter.offset}"
        texts = (format_timestamp(letter.timestamp), letter.key or "-")
        state_or_retries = letter.state.replace("_", " ") if with_state else format_count(letter.retry_count)
        table.add_row(
            position, *map(safe_text, texts), state_or_retries, _describe_error(letter, has_topics=len(topics) > 1)
        )
    if len(topics) > 1 or letters[0].source is None:
        return table
    return stack(table, Text("From ").append_text(safe_text(topics.pop())))


def letter_summary_tables(summary: LetterSummary) -> Group:
    """Draw the numbers of letters by state and by reason."""
    counts = {"dead_letters": summary.total, **summary.by_state}
    if summary.unreadable:
        counts["unreadable"] = summary.unreadable
    totals = new_table(*(number_column(humanize(name)) for name in counts))
    totals.add_row(*map(format_count, counts.values()))
    if not summary.reasons:
        return stack(totals)
    columns = Column("Reason", overflow="fold"), Column("Type", overflow="fold")
    reasons = new_table(*columns, *map(number_column, ("Open", "Total")))
    for reason in summary.reasons:
        numbers = map(format_count, (reason.open, reason.total))
        reasons.add_row(safe_text(_name_reason(reason)), safe_text(reason.error_type), *numbers)
    return stack(totals, reasons)


def _source_topic(letter: ListedLetter) -> str:
    return (letter.source or "-").partition("/")[0]


def _describe_error(letter: ListedLetter, *, has_topics: bool) -> Text:
    """Return type and message of the error, and on separate lines the record's topic and the rejected value."""
    error = safe_text(f"{letter.error_type}: {letter.error_message}")
    if has_topics:
        error = Text.assemble(error, "\nfrom: ", safe_text(_source_topic(letter)))
    if letter.rejected_value is None:
        return error
    return Text.assemble(error, "\nvalue: ", safe_text(letter.rejected_value))


def _name_reason(reason: ReasonCount) -> str:
    """Return the field and the error, such as `amount out of range`."""
    return " ".join(filter(None, (reason.field, (reason.error_code or "-").replace("_", " "))))
