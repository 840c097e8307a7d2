"""What each command answers to `--output json`: the fields of its result's class, and what the class says of them."""

from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

from docs.generate.tables import code
from telco_stream.consume.counters import ConsumeResult
from telco_stream.demo import DemoResult
from telco_stream.dlq.listing import LetterSummary, ListedLetter, ShownLetter
from telco_stream.dlq.replay import ReplayResult
from telco_stream.kafka.topics import TopicsResult
from telco_stream.model.manifest import Manifest
from telco_stream.model.training import TrainingResult
from telco_stream.produce.loop import ProduceResult
from telco_stream.report.analytics import Summary
from telco_stream.sample import SampleResult
from telco_stream.sample.dataset import FetchResult
from telco_stream.settings import ResolvedSetting
from telco_stream.status import StatusResult
from telco_stream.verify.run import VerifyResult

#: What `display` is handed, by the words that are typed.
RESULTS: dict[str, type] = {
    "demo": DemoResult,
    "produce": ProduceResult,
    "consume": ConsumeResult,
    "topics init": TopicsResult,
    "report": Summary,
    "verify": VerifyResult,
    "status": StatusResult,
    "dlq list": ListedLetter,
    "dlq list --summary": LetterSummary,
    "dlq show": ShownLetter,
    "dlq replay": ReplayResult,
    "train": TrainingResult,
    "model show": Manifest,
    "sample": SampleResult,
    "data fetch": FetchResult,
    "config show": ResolvedSetting,
}


def results(command: str) -> Iterator[str]:
    """What the command answers in JSON, and with an option that changes it: the keys and their meaning."""
    for typed, kind in RESULTS.items():
        if typed == command or typed.startswith(f"{command} --"):
            option = "".join(f" with {code(word)}" for word in typed.removeprefix(command).split())
            yield f"JSON{option}: {code(_shape(kind))}. {_meaning(kind)}"


def _shape(kind: type) -> str:
    """The keys in their order, and in brackets, as JSON has them, the keys of what lies inside."""
    hints = get_type_hints(kind)
    return " ".join(field.name + _inside(hints[field.name]) for field in fields(kind))


def _inside(hint: Any) -> str:
    """What lies inside of a field: a result, some of them, or some by name."""
    if is_dataclass(hint) and isinstance(hint, type):
        return f": {{{_named(hint) or _shape(hint)}}}"
    below = next((inside for part in get_args(hint) if (inside := _inside(part))), "")
    if not below or isinstance(hint, UnionType):
        return below
    return f": {{…{below}}}" if get_origin(hint) in {dict, Mapping} else f": [{below.removeprefix(': ')}]"


def _named(kind: type) -> str | None:
    """The command that answers it too."""
    return next((f"as {command}" for command, one in RESULTS.items() if one is kind), None)


def _meaning(kind: type) -> str:
    return " ".join((kind.__doc__ or "").replace("None", "null").split())
