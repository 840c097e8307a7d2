"""The results of `status` and `doctor` on one screen."""

import re
from collections.abc import Sequence

from rich.console import Group
from rich.table import Column, Table
from rich.text import Text

from telco_stream.checks.results import Check, PartitionLag, StatusResult, TopicStatus
from telco_stream.display.layout import field_table, name_column, new_table, number_column, stack
from telco_stream.display.text import format_timestamp, humanize, safe_text
from telco_stream.runtime.humanize import count_of, format_count, format_elapsed, format_rate

#: All but the first eight digits of a UUID.
_REST_OF_UUID = re.compile(r"(?<=[0-9a-f]{8})(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")

#: Mark and style of each state of a check.
_MARKS = {"ok": ("ok", "green"), "failed": ("fix", "bold red"), "skipped": ("-", "dim")}


def status_tables(result: StatusResult) -> Group:
    """Draw the group, its partitions with their owners, and the topics."""
    fields = {
        "time": f"{format_timestamp(result.time)} UTC",
        "group": f"{result.group}: {result.state}, {count_of(result.members, 'member')}",
        "lag": result.lag,
        "time_to_catch_up": _time_to_catch_up(result),
        "expired_unanswered": result.expired_unanswered,
        "newest_prediction_age_seconds": result.newest_prediction_age_seconds,
        "model_versions": ", ".join(result.model_versions) or None,
        "dead_letters": _count_letters(result),
    }
    return stack(field_table(fields), _partition_table(result.partitions), _topic_table(result.topics))


def check_table(checks: Sequence[Check]) -> Table:
    """Draw a row for each check of `doctor`: its state, what was checked, and the result or what to do."""
    table = new_table(Column(""), Column("Check", overflow="fold"), Column("Result", overflow="fold"), pad_edge=False)
    for check in checks:
        mark, style = _MARKS[check.state]
        table.add_row(
            Text(mark, style), safe_text(f"{humanize(check.check)} {check.subject}"), safe_text(check.message)
        )
    return table


def _count_letters(result: StatusResult) -> str:
    """Return how many dead letters are open, if that is known, and how many there are."""
    total = format_count(result.dead_letters)
    return total if result.open_dead_letters is None else f"{format_count(result.open_dead_letters)} open of {total}"


def _time_to_catch_up(result: StatusResult) -> str:
    """Describe the time until the lag is 0, and the rates from which it follows."""
    if not result.lag:
        return "none, everything is answered"
    if not result.members:
        return "unknown, no consumer is running"
    if not result.answered_per_second:
        return "unknown, nothing was answered in the last minute"
    rates = f"{format_rate(result.answered_per_second)} answered, {format_rate(result.arriving_per_second)} new"
    seconds = result.catch_up_seconds
    if seconds is None:
        return f"not at these rates ({rates})"
    return f"{format_elapsed(seconds) if seconds >= 1 else 'less than a second'} ({rates})"


def _partition_table(partitions: Sequence[PartitionLag]) -> Table:
    """Draw a row for each partition of the raw topic, with its owner.

    Expired offsets are shown if there are any, and versions of the model if they differ.
    """
    has_expired = any(partition.expired_unanswered for partition in partitions)
    differ = len({partition.model_version for partition in partitions if partition.model_version}) > 1
    titles = ("Part.", "Committed", "End", "Lag", *(["Expired"] if has_expired else []))
    texts = [*(["Version"] if differ else []), "Owner"]
    table = new_table(*map(number_column, titles), *(Column(title, overflow="fold") for title in texts))
    for partition in partitions:
        committed = "-" if partition.committed is None else format_count(partition.committed)
        counts = [partition.end, partition.lag, *([partition.expired_unanswered] if has_expired else [])]
        version = [safe_text(partition.model_version or "-")] if differ else []
        table.add_row(str(partition.partition), committed, *map(format_count, counts), *version, _owner(partition))
    return table


def _owner(partition: PartitionLag) -> Text:
    """Return address and name of the owner, a UUID in the name cut to its first part."""
    name = _REST_OF_UUID.sub("", partition.owner or "")
    return safe_text(f"{partition.host} {name}" if name else "-")


def _topic_table(topics: Sequence[TopicStatus]) -> Table:
    """Draw a row for each topic with the first and the end offset of its partitions."""
    table = new_table(name_column("Topic"), Column("Offsets", overflow="fold"))
    for topic in topics:
        offsets = [f"{number}:{topic.start_offsets[number]}-{end}" for number, end in topic.end_offsets.items()]
        table.add_row(safe_text(topic.topic), ", ".join(offsets))
    return table
