"""Results as tables that fit the terminal, some of them in a form for their type."""

import base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import is_dataclass
from typing import Any

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.measure import Measurement
from rich.table import Column, Table
from rich.text import Text

from telco_stream.checks.results import DoctorResult, StatusResult
from telco_stream.checks.verdict import VerifyResult
from telco_stream.contract.changes import Comparison
from telco_stream.contract.schema import Contract
from telco_stream.contract.summary import ContractSummary
from telco_stream.csv.inference import Candidates, InferResult
from telco_stream.display.contract_check_tables import comparison_table, contract_tables, summary_table
from telco_stream.display.contract_tables import candidate_tables, inferred_tables
from telco_stream.display.drift_tables import drift_tables
from telco_stream.display.health_tables import check_table, status_tables
from telco_stream.display.layout import field_table, new_table, number_column, stack, time_column
from telco_stream.display.letter_tables import letter_summary_tables, letter_table
from telco_stream.display.model_tables import change_table, model_comparison_tables, model_table, role_fields
from telco_stream.display.quality_tables import quality_tables
from telco_stream.display.report_tables import lift_table, summary_tables
from telco_stream.display.text import (
    format_timestamp,
    format_value,
    humanize,
    is_number,
    result_fields,
    safe_text,
)
from telco_stream.display.training_tables import candidate_table, engine_table, replaced_table
from telco_stream.display.verify_tables import verify_tables
from telco_stream.dlq.listing import LetterOfAnyState, LetterSummary, ListedLetter, ShownLetter
from telco_stream.dlq.replay import ReplayResult
from telco_stream.messages.dead_letter import format_original
from telco_stream.model.drift.results import DriftResult
from telco_stream.model.manifest import Candidate, Decile, EngineReport, LiftStep
from telco_stream.model.quality import QualityResult
from telco_stream.model.results import ModelComparison, ReplacedModel
from telco_stream.produce.results import ProduceResult
from telco_stream.registry.results import ListedChange, ListedModel, RoleResult
from telco_stream.report.analytics import Summary
from telco_stream.report.lookup import FoundPrediction
from telco_stream.runtime.humanize import escape, format_count, format_percent

#: More columns than any terminal has.
_UNLIMITED_WIDTH = 100_000
#: Fields of a dead letter that are drawn separately, below the others.
_SEPARATE_FIELDS = frozenset({"headers", "original_encoding", "original_message"})


def result_table(result: object) -> RenderableType:
    """Draw a result in the form for its type, or as fields with its nested results below them."""
    if draw := _RESULT_TABLES.get(type(result)):
        return draw(result)
    if isinstance(result, Mapping) and not any(map(_is_nested, result.values())):  # its keys are names, as of files
        return field_table(result, label=str)
    return _field_tables(result_fields(result))


def rows_table(rows: Sequence[Any]) -> RenderableType:
    """Draw one or more results of the same type."""
    return _ROW_TABLES.get(type(rows[0]), _RowsOrBlocks)(rows)


def _field_tables(items: Mapping[str, Any]) -> Group:
    """Draw plain fields as one table, and below it the nested results, each under its name."""
    plain = {name: value for name, value in items.items() if not _is_nested(value)}
    blocks: list[RenderableType] = [field_table(plain)] if plain else []
    for name, value in items.items():
        if _is_nested(value):
            nested = rows_table(value) if isinstance(value, (list, tuple)) else result_table(value)
            blocks += [Text(" ").append_text(safe_text(humanize(name), "bold")), nested]
    return stack(*blocks)


def _produce_fields(result: ProduceResult) -> dict[str, Any]:
    """Return the fields, except those in the sentence about the end of the run, and without a count of 0."""
    said = {"rows_done", "rows_total", "sent_again"} | (set() if result.bad_rows else {"bad_rows"})
    return {name: value for name, value in result_fields(result).items() if name not in said}


def _replay_fields(result: ReplayResult) -> dict[str, Any]:
    """Return the counts; those of a dry run say what would be replayed."""
    if not result.dry_run:
        return {"selected": result.selected, "replayed": result.replayed, "skipped": result.skipped}
    skipped = {reason: count for reason, count in result.skipped.items() if reason != "dry run"}
    return {"selected": result.selected, "would_replay": result.would_replay, "skipped": skipped}


def _is_nested(value: object) -> bool:
    """Return whether a field is drawn as a table: a result, a mapping of mixed values, or a list of either."""
    if isinstance(value, (list, tuple)):
        return bool(value) and all(is_dataclass(item) or isinstance(item, Mapping) for item in value)
    if isinstance(value, Mapping):
        return any(not is_number(item) for item in value.values())
    return is_dataclass(value)


class _RowsOrBlocks:
    """Results of one type: a row each if the columns fit side by side, otherwise a block each, so nothing is cut."""

    def __init__(self, rows: Sequence[object]) -> None:
        self._rows = [result_fields(row) for row in rows]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        table = self._table()
        width = Measurement.get(console, options.update(max_width=_UNLIMITED_WIDTH), table).maximum
        yield table if width <= options.max_width else stack(*map(field_table, self._rows))

    def _table(self) -> Table:
        table = new_table()
        for name in self._rows[0]:
            is_numeric = all(row.get(name) is None or is_number(row[name]) for row in self._rows)
            table.add_column(humanize(name), justify="right" if is_numeric else "left", overflow="fold")
        for row in self._rows:
            table.add_row(*(safe_text(format_value(name, value)) for name, value in row.items()))
        return table


def _prediction_table(predictions: Sequence[FoundPrediction]) -> RenderableType:
    """Draw a row for each prediction; name the topic of the inputs once, if it is the same."""
    model, source = Column("Model", overflow="fold"), Column("Input", overflow="fold")
    columns = time_column("Scored at (UTC)"), number_column("Probability"), Column("Prediction"), model, source
    table = new_table(*columns, pad_edge=False)
    sources = [(found.source or "-").partition("/") for found in predictions]
    topics = {topic for topic, _, _ in sources}
    for found, (topic, slash, position) in zip(predictions, sources, strict=True):
        prediction = found.prediction
        scored_at = safe_text(format_timestamp(prediction.processed_ts))
        probability = format_percent(prediction.probability)
        read_from = position.replace("/", ":") if slash and len(topics) == 1 else f"{topic}{slash}{position}"
        texts = map(safe_text, (prediction.prediction, prediction.model_version, read_from))
        table.add_row(scored_at, probability, *texts)
    if len(topics) == 1 and sources[0][1]:
        return stack(table, Text("Input: partition and offset in ").append_text(safe_text(topics.pop())))
    return table


def _letter_blocks(letter: ShownLetter) -> Group:
    """Draw all fields, the headers, and the whole original, decoded, indented and escaped."""
    plain = {name: value for name, value in result_fields(letter).items() if name not in _SEPARATE_FIELDS}
    blocks: list[RenderableType] = [field_table(plain)]
    if letter.headers:
        blocks.append(rows_table(letter.headers))
    title = "Original (truncated)" if letter.truncated else "Original"
    if letter.original_message is None:
        title = "No original: the record had no value"
    return stack(*blocks, Group(Text(title, "bold"), _draw_original(letter)))


def _draw_original(letter: ShownLetter) -> Text:
    message = (letter.original_message or "").encode()
    original = base64.b64decode(message) if letter.original_encoding else message
    lines = format_original(original).split("\n")
    return Text("\n".join(escape(line) for line in lines), overflow="fold")


def _calibration_table(deciles: Sequence[Decile]) -> Table:
    """Draw a row for each tenth of the predictions with its predicted and its observed rate of positive labels."""
    table = new_table(*map(number_column, ("Tenth", "Predictions", "Mean probability", "Observed rate")))
    for number, decile in enumerate(deciles, 1):
        predicted, observed = format_percent(decile.mean_probability), format_percent(decile.churn_rate)
        table.add_row(str(number), format_count(decile.predictions), predicted, observed)
    return table


#: The tables of results that have a form for their type.
_RESULT_TABLES: dict[type, Callable[[Any], RenderableType]] = {
    Summary: summary_tables,
    ShownLetter: _letter_blocks,
    LetterSummary: letter_summary_tables,
    StatusResult: status_tables,
    DoctorResult: lambda result: check_table(result.checks),
    VerifyResult: verify_tables,
    Contract: contract_tables,
    ContractSummary: summary_table,
    Comparison: comparison_table,
    InferResult: inferred_tables,
    Candidates: candidate_tables,
    ReplacedModel: replaced_table,
    ProduceResult: lambda result: field_table(_produce_fields(result)),
    ReplayResult: lambda result: field_table(_replay_fields(result)),
    ModelComparison: model_comparison_tables,
    QualityResult: quality_tables,
    DriftResult: drift_tables,
    RoleResult: lambda result: field_table(role_fields(result)),
}
#: The tables of rows that have a form for their type.
_ROW_TABLES: dict[type, Callable[[Sequence[Any]], RenderableType]] = {
    ListedLetter: letter_table,
    LetterOfAnyState: letter_table,
    FoundPrediction: _prediction_table,
    Decile: _calibration_table,
    LiftStep: lift_table,
    Candidate: candidate_table,
    ListedModel: model_table,
    ListedChange: change_table,
    EngineReport: engine_table,
}
