"""The result of `verify`: its verdict in a sentence, and findings with a likely cause and a command to investigate."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from telco_stream.checks.ledger import Account
from telco_stream.runtime.humanize import count_of, format_count

FindingKind: TypeAlias = Literal["missing", "duplicated", "unexplained", "expired_unanswered"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One way in which the answers break the rule of one answer for each input."""

    kind: FindingKind
    finding: str
    likely_cause: str
    #: Command for a shell, without spaces inside of quotes, so that it can be continued on another line.
    investigate: str


@dataclass(frozen=True, slots=True)
class VerifyResult:
    """Sums over the accounts of all partitions.

    Each input is counted in one of `predicted`, `dead_lettered`, `missing`, `duplicated` and `expired` (retention may
    have deleted its answer); `unexplained` counts answers. `unanswered` counts inputs beyond the group's committed
    offsets, which are not verified. `expired_unanswered` counts offsets that retention deleted before the group
    answered them, including transaction markers. `findings` holds what is wrong, if anything.
    """

    #: The result in a sentence.
    verdict: str
    inputs: int
    predicted: int
    dead_lettered: int
    missing: int
    duplicated: int
    unexplained: int
    expired: int
    unanswered: int
    partitions: list[Account]
    #: Unexplained answers whose input was in an earlier topic with the same name, which has been deleted.
    answers_to_earlier_topic: int
    #: Those of the three topics in which Kafka keeps only the newest record of each key.
    compacted_topics: list[str]
    expired_unanswered: int
    findings: list[Finding]

    @property
    def is_clean(self) -> bool:
        """Return whether nothing is missing, duplicated, unexplained or deleted before it was answered."""
        return not (self.missing or self.duplicated or self.unexplained or self.expired_unanswered)


@dataclass(frozen=True, slots=True)
class Evidence:
    """Facts about a group and its topics, besides the counts, that explain the findings."""

    brokers: str
    group: str
    raw: str
    predictions: str
    #: Position (`topic/partition/offset`) of the first input or answer of each kind.
    first: Mapping[FindingKind, str] = field(default_factory=dict)
    answers_to_earlier_topic: int = 0
    compacted_topics: Sequence[str] = ()
    #: Other groups that have read a duplicated input.
    other_groups: Sequence[str] = ()
    #: Topics, other than the raw topic, that unexplained answers name as their source.
    other_sources: Sequence[str] = ()


def state_verdict(counts: Mapping[str, int]) -> str:
    """Return a sentence about the counts of a `VerifyResult`, given by field name."""
    problems = [_describe(kind, counts[kind], counts["inputs"]) for kind in _EXPLANATIONS if counts[kind]]
    parts = problems or list(_describe_clean(counts))
    if waiting := counts["unanswered"]:
        parts.append(f"{count_of(waiting, 'input')} {'is' if waiting == 1 else 'are'} not answered yet")
    sentence = "; ".join(parts)
    return f"{sentence[0].upper()}{sentence[1:]}."


def list_findings(counts: Mapping[str, int], evidence: Evidence) -> list[Finding]:
    """Return a finding for each kind that has a count, with what the evidence says about its cause."""
    return [
        Finding(kind, _describe(kind, counts[kind], counts["inputs"]), *explain(evidence))
        for kind, explain in _EXPLANATIONS.items()
        if counts[kind]
    ]


def _describe_clean(counts: Mapping[str, int]) -> Iterator[str]:
    """Yield parts of the sentence about a group without findings."""
    expired, checked = counts["expired"], counts["inputs"] - counts["expired"]
    if not counts["inputs"]:
        yield "the group has not answered any input that is still in the topic"
        if not counts["unanswered"]:
            yield "there is nothing to verify"
    if checked == 1:
        yield f"{'1' if counts['unanswered'] else 'the only'} input has exactly one answer"
    elif checked:
        yield f"each of {format_count(checked)} inputs has exactly one answer"
    if expired:
        yield f"{count_of(expired, 'older input')} cannot be checked, because retention has deleted the answers"


def _describe(kind: FindingKind, count: int, inputs: int) -> str:
    if kind == "unexplained":
        return f"{count_of(count, 'answer')} {_has(count)} no input"
    if kind == "expired_unanswered":
        was = "was" if count == 1 else "were"
        return f"up to {count_of(count, 'record')} {was} deleted before being answered"
    of_inputs = f"{format_count(count)} of {count_of(inputs, 'input')} {_has(count)}"
    return f"{of_inputs} no answer" if kind == "missing" else f"{of_inputs} more than one answer"


def _explain_missing(evidence: Evidence) -> tuple[str, str]:
    if evidence.compacted_topics:
        return _compaction(evidence)
    cause = f"group `{evidence.group}` was moved past these inputs, or their answers were deleted"
    if evidence.answers_to_earlier_topic:
        cause = f"topic {evidence.raw} was deleted and created again, and the new inputs are not answered yet"
    return cause, _show_record(evidence, "missing", "%k,%T")


def _explain_duplicated(evidence: Evidence) -> tuple[str, str]:
    if evidence.other_groups:
        groups = ", ".join(f"`{group}`" for group in evidence.other_groups)
        noun, verb = ("group", "writes") if len(evidence.other_groups) == 1 else ("groups", "write")
        cause = f"{noun} {groups} also {verb} to the same predictions topic"
        return cause, _status(evidence, evidence.other_groups[0])
    cause = (
        f"group `{evidence.group}` was moved back or started with --restart, or repeated a batch with"
        " --delivery at-least-once"
    )
    source = evidence.first["duplicated"]
    answers = f"kcat -C -e -q -b {evidence.brokers} -t {evidence.predictions} -f '%p/%o,%T,%h\\n'"
    return cause, f"{answers} | grep 'source={source}\\b'"


def _explain_unexplained(evidence: Evidence) -> tuple[str, str]:
    command = _show_record(evidence, "unexplained", "%h")
    if evidence.answers_to_earlier_topic:
        return f"topic {evidence.raw} was deleted and created again; they answer the earlier topic", command
    if evidence.other_sources:
        topics = ", ".join(f"`{topic}`" for topic in evidence.other_sources)
        return f"the answers to topic {topics} are written to the same topics", command
    if evidence.compacted_topics:
        return _compaction(evidence)
    return "another program or another cluster's `consume` writes to the same topics", command


def _explain_expired_unanswered(evidence: Evidence) -> tuple[str, str]:
    cause = f"group `{evidence.group}` was stopped or behind for longer than the retention of {evidence.raw}"
    return cause, _status(evidence, evidence.group)


def _compaction(evidence: Evidence) -> tuple[str, str]:
    topic = evidence.compacted_topics[0]
    command = f"kafka-configs.sh --bootstrap-server {evidence.brokers} --describe --topic {topic}"
    return f"topic {topic} is compacted: Kafka deletes all but the newest record of each key", command


def _status(evidence: Evidence, group: str) -> str:
    return f"telco-stream status --broker {evidence.brokers} --group {group}"


def _show_record(evidence: Evidence, kind: FindingKind, form: str) -> str:
    """Return a command that prints part of the first record of this kind."""
    topic, partition, offset = evidence.first[kind].rsplit("/", 2)
    position = f"-t {topic} -p {partition} -o {offset} -c 1"
    return f"kcat -C -e -q -b {evidence.brokers} {position} -f '{form}\\n'"


def _has(count: int) -> str:
    return "has" if count == 1 else "have"


#: Functions that return the likely cause of a finding and a command to investigate it, by kind.
_EXPLANATIONS: dict[FindingKind, Callable[[Evidence], tuple[str, str]]] = {
    "missing": _explain_missing,
    "duplicated": _explain_duplicated,
    "unexplained": _explain_unexplained,
    "expired_unanswered": _explain_expired_unanswered,
}
