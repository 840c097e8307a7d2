"""Log events as short sentences, for people who watch a terminal.

Most messages are sentences already; the functions below describe the events whose message is a list of facts.
"""

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from telco_stream.runtime.humanize import count_of, format_count

Facts: TypeAlias = Mapping[str, Any]
#: How long an unbounded run takes.
UNTIL_STOPPED = "until SIGTERM or Ctrl-C"


def sentence_of(event: str, message: str, facts: Facts) -> str:
    """Return the event as a sentence; `message` is its text in a log of facts."""
    describe = _SENTENCES.get(event)
    return describe(facts) if describe else message[:1].upper() + message[1:]


def _started(facts: Facts) -> str:
    if facts["command"] == "outcomes check":
        return f"Checking {facts['outcomes']} to its end as {facts['group']}"
    guarantee = facts["delivery"].replace("-", " ")
    until = f"; it runs {UNTIL_STOPPED}" if "until" in facts else ""
    if facts["command"] in _SENDERS:
        rows = facts["file"] if facts["mode"] == "batch" else f"random rows of {facts['file']}"
        run = f" as run {facts['run_id']}" if facts["run_id"] else ""
        return f"Sending {rows} to {facts['topic']}{run}, {guarantee}{until}"
    topic = f"{facts['raw']}{' to its end' if facts['mode'] == 'batch' else ''}"
    return f"Consuming {topic} as {facts['group']}, {guarantee}, model {facts['model_version']}{until}"


def _stopped(facts: Facts) -> str:
    seconds = f"in {facts['seconds']:,.1f} s"
    if facts["command"] == "outcomes check":
        checked = _counted("checked", facts["checked"], facts["dead_lettered"], seconds)
        return f"{_STOPPED_BY[facts['stopped_by']]}: {checked}"
    if facts["command"] in _SENDERS:
        failed = f"; {format_count(facts['failed'])} failed" if facts["failed"] else ""
        return f"Sent {count_of(facts['sent'], 'row')} {seconds}{failed}"
    answered = _counted("answered", facts["consumed"], facts["dead_lettered"], seconds)
    return f"{_STOPPED_BY[facts['stopped_by']]}: {answered}"


def _progress(facts: Facts) -> str:
    lag = "unknown" if facts["lag"] is None else format_count(facts["lag"])
    answered = _counted("answered", facts["answered"], facts["dead_lettered"], f"in {facts['seconds']} s")
    return f"{answered[:1].upper()}{answered[1:]}, lag {lag}"


def _dead_letter(facts: Facts) -> str:
    position = f"{facts['topic']}/{facts['partition']}/{facts['offset']}"
    return f"Dead letter for {position} ({facts['error_type']}: {facts['code']})"


def _dead_letters(facts: Facts) -> str:
    letters = count_of(facts["count"], "more dead letter")
    return f"{letters} in {facts['seconds']} s; `telco-stream dlq list` shows them"


def _lines_suppressed(facts: Facts) -> str:
    lines = count_of(facts["count"], "more line")
    return f"{lines} about {facts['of']} in {facts['seconds']} s were left out; --verbose shows them"


def _assigned(facts: Facts) -> str:
    return f"Assigned {_partitions(facts)}"


def _revoked(facts: Facts) -> str:
    return f"Revoked {_partitions(facts)}"


def _partitions(facts: Facts) -> str:
    numbers = facts["partitions"]
    if not numbers:
        return f"no further partitions of {facts['topic']}"
    return f"partition{'s' * (len(numbers) > 1)} {', '.join(map(str, numbers))} of {facts['topic']}"


def _counted(done: str, records: int, dead_lettered: int, seconds: str) -> str:
    letters = f" ({count_of(dead_lettered, 'dead letter')})" if dead_lettered else ""
    return f"{done} {count_of(records, 'record')}{letters} {seconds}"


_SENDERS = frozenset({"produce", "outcomes send"})
_STOPPED_BY = {
    "signal": "Stopped as requested",
    "idle": "Stopped at --idle-timeout",
    "max-messages": "Stopped at --max-messages",
    "end": "Reached the end of the topic",
}
_SENTENCES: dict[str, Callable[[Facts], str]] = {
    "started": _started,
    "stopped": _stopped,
    "progress": _progress,
    "assigned": _assigned,
    "revoked": _revoked,
    "dead_letter": _dead_letter,
    "dead_letters": _dead_letters,
    "lines_suppressed": _lines_suppressed,
}
