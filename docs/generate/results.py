"""The JSON results of the commands: the fields of each result class and its docstring."""

from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

import msgspec

from docs.generate.markdown import code
from telco_stream.checks.results import DoctorResult, StatusResult
from telco_stream.checks.verdict import VerifyResult
from telco_stream.consume.counters import ConsumeResult
from telco_stream.consume.outcomes import OutcomesCheckResult
from telco_stream.contract.changes import Comparison
from telco_stream.contract.document import builtin_contract
from telco_stream.contract.rules import snake_case
from telco_stream.contract.schema import Contract
from telco_stream.contract.summary import ContractSummary
from telco_stream.csv.inference import InferResult
from telco_stream.dlq.listing import LetterSummary, ListedLetter, ShownLetter
from telco_stream.dlq.replay import ReplayResult
from telco_stream.kafka.topics import TopicsResult
from telco_stream.messages.prediction import PredictionCodec
from telco_stream.model.drift.results import DriftResult
from telco_stream.model.manifest import Manifest
from telco_stream.model.quality import QualityResult
from telco_stream.model.results import ImportResult, ModelComparison, TrainingResult
from telco_stream.produce.check import CheckResult
from telco_stream.produce.results import ProduceResult
from telco_stream.quality.results import RecalibrationResult
from telco_stream.registry.results import ListedChange, ListedModel, PublishResult, RoleResult
from telco_stream.report.analytics import Segment, Summary
from telco_stream.report.explanation import Explanation
from telco_stream.report.lookup import FoundPrediction
from telco_stream.sample import SampleResult
from telco_stream.sample.dataset import FetchResult
from telco_stream.sample.demo import DemoResult
from telco_stream.settings import ResolvedSetting

#: Result classes by command.
RESULTS: dict[str, type] = {
    "demo": DemoResult,
    "produce": ProduceResult,
    "produce --check": CheckResult,
    "consume": ConsumeResult,
    "topics init": TopicsResult,
    "report": Summary,
    "predictions show": FoundPrediction,
    "explain": Explanation,
    "outcomes send": ProduceResult,
    "outcomes check": OutcomesCheckResult,
    "quality": QualityResult,
    "drift": DriftResult,
    "verify": VerifyResult,
    "status": StatusResult,
    "doctor": DoctorResult,
    "dlq list": ListedLetter,
    "dlq list --summary": LetterSummary,
    "dlq show": ShownLetter,
    "dlq replay": ReplayResult,
    "train": TrainingResult,
    "model show": Manifest,
    "model publish": PublishResult,
    "model promote": RoleResult,
    "model rollback": RoleResult,
    "model list": ListedModel,
    "model history": ListedChange,
    "model compare": ModelComparison,
    "model import": ImportResult,
    "model recalibrate": RecalibrationResult,
    "contract infer": InferResult,
    "sample": SampleResult,
    "contract check": ContractSummary,
    "contract check --against": Comparison,
    "contract show": Contract,
    "data fetch": FetchResult,
    "config show": ResolvedSetting,
}


def results(command: str) -> Iterator[str]:
    """Describe the command's JSON result, and its result with each option that changes it."""
    for name, kind in RESULTS.items():
        if name == command or name.startswith(f"{command} --"):
            option = "".join(f" with {code(flag)}" for flag in name.removeprefix(command).split())
            yield f"JSON{option}: {code(_keys(kind))}. {_description(kind)}"


def _keys(kind: type) -> str:
    """Return the keys in order, with the keys of nested objects in JSON brackets."""
    if not is_dataclass(kind):
        return " ".join(field.encode_name for field in msgspec.structs.fields(kind))
    hints = get_type_hints(kind)
    named = _named_by_contract(kind)
    keys = (named.get(field.name, field.name + _nested_keys(hints[field.name])) for field in fields(kind))
    return " ".join(filter(None, keys))


def _named_by_contract(kind: type) -> dict[str, str]:
    """Return the keys of the fields whose JSON has the names of the contract, here those of the built-in one."""
    contract = builtin_contract()
    if kind is Summary:
        segment = f"{{…: {{{_keys(Segment)}}}}}"
        at_risk = " ".join([contract.key.name, contract.label.probability, *contract.segments])
        by = " ".join(f"by_{snake_case(name)}: {segment}" for name in contract.segments)
        return {"by": by, "top": f"top: [{{{at_risk}}}]", "contract": ""}
    if kind is FoundPrediction:
        return {"prediction": "", "message": " ".join(PredictionCodec(contract).names)}
    return {}


def _nested_keys(hint: Any) -> str:
    """Return the keys of a field that holds a result, or a list or mapping of results."""
    if is_dataclass(hint) and isinstance(hint, type):
        return f": {{{_reference(hint) or _keys(hint)}}}"
    nested = next((keys for part in get_args(hint) if (keys := _nested_keys(part))), "")
    if not nested or isinstance(hint, UnionType):
        return nested
    return f": {{…{nested}}}" if get_origin(hint) in {dict, Mapping} else f": [{nested.removeprefix(': ')}]"


def _reference(kind: type) -> str | None:
    """Return a reference to the command that has the same result."""
    return next((f"as {command}" for command, result in RESULTS.items() if result is kind), None)


def _description(kind: type) -> str:
    return " ".join((kind.__doc__ or "").replace("None", "null").split())
