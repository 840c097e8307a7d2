"""Sentences that say how a run of `produce` ended, and what to do next."""

from collections.abc import Iterator
from pathlib import Path

from telco_stream.produce.check import CheckResult
from telco_stream.produce.results import ProduceResult
from telco_stream.produce.run import ProduceOptions
from telco_stream.runtime.humanize import count_of, format_count


def describe_end(result: ProduceResult, options: ProduceOptions, file: Path) -> Iterator[str]:
    """Yield sentences about a run over a file."""
    if result.mode == "streaming":
        reason = "Reached --limit" if result.stopped_by == "limit" else "Stopped"
        yield f"{reason}: {count_of(result.sent, 'row')} of {file.name} sent, drawn at random."
        return
    command = "the same command without --restart" if options.restart else "the same command"
    yield _describe_pass(result, file.name, command)
    if result.sent_again:
        yield "An earlier run had sent this file, so its rows were sent again; --run-id ID sends a file once."
    if options.bad_rows and result.bad_rows:
        skipped, path = count_of(result.bad_rows, "bad row"), options.bad_rows
        sender = f"outcomes send {path}" if options.target else f"--data-path {path}"
        without = " and without --number-rows: it has their numbers as keys" if options.csv_format.number_rows else ""
        yield f"{skipped} skipped. Correct {path}, then send it with {sender}{without}."


def describe_check(result: CheckResult) -> str:
    """Return the verdict on a file that was checked."""
    return f"All {count_of(result.rows, 'row')} of {result.file} can be sent."


def refuse_file(result: CheckResult) -> str:
    """Return the error for a file with bad rows, or with a wrong header."""
    if not result.bad_rows:
        return f"{result.file} has a wrong header, so no row was checked"
    return (
        f"{count_of(result.bad_rows, 'bad row')} in {result.file}, which has {count_of(result.rows, 'row')}; correct"
        " the file, or skip them with --bad-rows FILE"
    )


def _describe_pass(result: ProduceResult, name: str, command: str) -> str:
    if result.stopped_by == "already-complete":
        return (
            f"Run {result.run_id} is complete; nothing was sent. To send {name} again, use another --run-id or"
            " --restart."
        )
    if result.stopped_by == "end":
        subject = f"Run {result.run_id} is complete" if result.run_id else f"{name} is complete"
        earlier = f", after {count_of(result.resumed_from, 'row')} in earlier runs" if result.resumed_from else ""
        return f"{subject}: {count_of(result.sent, 'row')} sent{earlier}."
    reason = "Stopped by --limit" if result.stopped_by == "limit" else "Interrupted"
    total = f" of {format_count(result.rows_total)}" if result.rows_total else ""
    position = f"at row {format_count(result.rows_done)}{total}" if result.rows_done else "before a row was sent"
    return f"{reason} {position}. Run {command} to continue."
