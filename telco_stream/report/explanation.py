"""`explain`: why a prediction is what it is, and whether its record and model still give it."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from telco_stream.contract.events import BAD_DATA, Event, EventBatch, EventCodec
from telco_stream.contract.schema import Contract
from telco_stream.errors import DataError, UsageError
from telco_stream.messages.prediction import APPROXIMATE, BASE, CONTROL, REASONS, Prediction, Reason, reasons_of
from telco_stream.messages.record import Record
from telco_stream.model.scorer import Scorer, ScoringError
from telco_stream.report.lookup import FoundPrediction

if TYPE_CHECKING:
    from telco_stream.model.reasons.explainer import Explainer

#: Largest difference of a probability that another engine or another kind of processor makes.
_ROUNDING = 1e-6


@dataclass(frozen=True, slots=True)
class Effect:
    """Contribution of a feature to the logit, with its value."""

    feature: str
    contribution: float
    value: Any


@dataclass(frozen=True, slots=True)
class WhatIf:
    """Answer to the record with some of its values changed."""

    changes: Mapping[str, Any]
    probability: float
    prediction: str
    base: float | None
    reasons: tuple[Effect, ...]


@dataclass(frozen=True, slots=True)
class Explanation:
    """A recorded prediction, and the answer of a model to its record now.

    `reproduced` is true if every field of the prediction is the same to the last bit; otherwise `differences` says
    which are not. The reasons are those of all features, largest effect first; none if the model has no exact ones.
    """

    key: str
    source: str
    model_version: str
    engine: str
    recorded: Mapping[str, Any]
    probability: float
    prediction: str
    reproduced: bool
    differences: tuple[str, ...]
    base: float | None
    reasons: tuple[Effect, ...]
    record: Mapping[str, Any]
    what_if: WhatIf | None = None


def key_of(record: Record, contract: Contract) -> str:
    """Return whom a record is about; raise `DataError` if it is not valid for the contract."""
    return _decode(EventCodec(contract), record.value()).key


def explain(
    found: FoundPrediction, record: Record, scorers: Iterable[Scorer], changes: Mapping[str, str] | None = None
) -> Explanation:
    """Explain a prediction from its record.

    `scorers` are the model with the exact reasons of each baseline, or without any, and then with the approximate ones
    if the prediction has such; those whose baseline the prediction names are used. `changes` are values of features, as
    texts, for the question "what if". Raises `DataError` if the record has no prediction now, and `UsageError` for a
    change that the contract does not accept.
    """
    candidates, recorded = list(scorers), found.prediction
    exact = [each for each in candidates if each.explainer is None or not each.explainer.is_approximate]
    scorer = next((each for each in exact if each.explainer and each.explainer.base == recorded.base), exact[0])
    event = _decode(scorer.codec.events, record.value())
    answer = _answer(scorer, event, recorded.processed_ts)
    explainers = [each.explainer for each in candidates if each.explainer is not None]
    differences = _differences(scorer, found, answer) + _reason_differences(recorded, explainers, event)
    base, reasons = _reasons(scorer, event)
    return Explanation(
        key=recorded.key,
        source=found.source or "",
        model_version=scorer.version,
        engine=scorer.engine,
        recorded=found.message,
        probability=answer.probability,
        prediction=answer.prediction,
        reproduced=not differences,
        differences=tuple(differences),
        base=base,
        reasons=reasons,
        record=_values(scorer, event),
        what_if=_what_if(scorer, event, changes) if changes else None,
    )


def _decode(codec: EventCodec, value: bytes | None) -> Event:
    try:
        return codec.decode(value)
    except BAD_DATA as error:
        raise DataError(
            f"The record is not valid for the contract of the model: {codec.explain(value, error)[2]}"
        ) from None


def _answer(scorer: Scorer, event: Event, processed_at: str) -> Prediction:
    """Return the prediction of a model for an event; raise DataError if it has none."""
    try:
        (probability,) = scorer.score(EventBatch([event]))
    except ScoringError as error:
        raise DataError(f"The model fails on the record: {error.reason}") from error
    (prediction,) = scorer.codec.build_predictions(
        [event],
        [probability],
        threshold=scorer.threshold,
        processed_at=processed_at,
        model_version=scorer.version,
    )
    return prediction


def _differences(scorer: Scorer, found: FoundPrediction, answer: Prediction) -> list[str]:
    """Return a text for each field of the recorded prediction that the answer does not have.

    The field `control` depends on the option of the run: it must only be true or absent.
    """
    recorded, attributes = found.prediction, scorer.codec.predictions.attributes
    differences = []
    for name in scorer.codec.predictions.names:
        before, now = found.message.get(name), getattr(answer, attributes[name])
        if before != now:
            differences.append(f"{name}: recorded {_shown(before)}, now {_shown(now)}")
    if 0 < abs(recorded.probability - answer.probability) <= _ROUNDING:
        differences[-1:] = [
            differences[-1],
            "such a small difference comes from another engine (--engine) or processor",
        ]
    for name, value in ((CONTROL, recorded.control), (APPROXIMATE, recorded.reasons_approximate)):
        if value is not None and value is not True:
            differences.append(f"{name}: recorded {_shown(value)}, but it is true or absent")
    return differences


def _reason_differences(recorded: Prediction, explainers: Iterable["Explainer"], event: Event) -> list[str]:
    """Return a text for what the model's reasons of the same kind and baseline do not have; none without reasons."""
    known = reasons_of(recorded)
    if not known:
        fields = {BASE: recorded.base, REASONS: recorded.reasons, APPROXIMATE: recorded.reasons_approximate}
        present = [name for name, value in fields.items() if value is not None]
        return [f"{REASONS}: recorded nothing that can be read, but {', '.join(present)}"] if present else []
    is_approximate = recorded.reasons_approximate is True
    same_kind = [explainer for explainer in explainers if explainer.is_approximate == is_approximate]
    if not same_kind:
        kind = "approximate" if is_approximate else "exact"
        return [f"{REASONS}: recorded {_listed(known)}, but the model has no {kind} reasons"]
    explainer = next((each for each in same_kind if each.base == recorded.base), same_kind[0])
    if recorded.base != explainer.base:
        return [f"{BASE}: recorded {_shown(recorded.base)}, now {_shown(explainer.base)}"]
    with_values = any(reason.has_value for reason in known)
    (now,) = explainer.reasons(EventBatch([event]), len(known), with_values=with_values)
    return [] if known == now else [f"{REASONS}: recorded {_listed(known)}, now {_listed(now)}"]


def _reasons(scorer: Scorer, event: Event) -> tuple[float | None, tuple[Effect, ...]]:
    explainer = scorer.explainer
    if explainer is None:
        return None, ()
    (reasons,) = explainer.reasons(EventBatch([event]), len(explainer.features), with_values=True)
    return explainer.base, tuple(Effect(reason.feature, reason.contribution, reason.value) for reason in reasons)


def _values(scorer: Scorer, event: Event) -> dict[str, Any]:
    codec = scorer.codec.events
    return {feature.name: codec.values(feature.name, [event])[0] for feature in codec.contract.features}


def _what_if(scorer: Scorer, event: Event, changes: Mapping[str, str]) -> WhatIf:
    codec = scorer.codec.events
    values = _values(scorer, event)
    for name in changes:
        if name not in values:
            raise UsageError(f"--change {name}: the model has no such feature; it has {', '.join(values)}")
    changed = {name: None if text == "" else text for name, text in changes.items()}
    contract = codec.contract
    document = values | changed | {contract.key.name: event.key, contract.time.name: event.event_ts}
    document |= {column.name: codec.values(column.name, [event])[0] for column in contract.carried_columns}
    content = json.dumps(document).encode()
    try:
        changed_event = codec.decode(content)
    except BAD_DATA as error:
        raise UsageError(f"--change: {codec.explain(content, error)[2]}") from None
    answer = _answer(scorer, changed_event, "")
    base, reasons = _reasons(scorer, changed_event)
    now = _values(scorer, changed_event)
    return WhatIf({name: now[name] for name in changes}, answer.probability, answer.prediction, base, reasons)


def _shown(value: object) -> str:
    return "nothing" if value is None else str(value)


def _listed(reasons: Iterable[Reason]) -> str:
    return ", ".join(f"{reason.feature} {reason.contribution:+.7g}" for reason in reasons)
