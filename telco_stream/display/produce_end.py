"""Sentences that say how a run of `produce` ended, and what to do next."""

from collections.abc import Iterator
from pathlib import Path

from telco_stream.produce.check import CheckResult
from telco_stream.produce.results import ProduceResult
from telco_stream.produce.run import ProduceOptions
from telco_stream.runtime.humanize import format_count


def describe_end(result: ProduceResult, options: ProduceOptions, file: Path) -> Iterator[str]:
    """Yield sentences about a run over a file."""
    if result.mode == "streaming":
        reason = "Reached --limit" if result.stopped_by == "limit" else "Stopped"
        yield f"{reason}: {_rows(result.sent)} of {file.name} sent, drawn at random."
        return
    yield _describe_pass(result, file.name, "the same command without --restart" if options.restart else None)
    if result.sent_again:
        yield "An earlier run had sent this file, so its rows were sent again; --run-id ID sends a file once."
    if options.bad_rows and result.bad_rows:
        skipped, path = _rows(result.bad_rows, "bad row"), options.bad_rows
        yield f"{skipped} skipped. Correct {path}, then send it with --data-path {path}."


def describe_check(result: CheckResult) -> str:
    """Return the verdict on a file that was checked."""
    return f"All {_rows(result.rows)} of {result.file} can be sent."


def refuse_file(result: CheckResult) -> str:
    """Return the error for a file with bad rows, or with a wrong header."""
    if not result.bad_rows:
        return f"{result.file} has a wrong header, so no row was checked; correct the header"
    return (
        f"{_rows(result.bad_rows, 'bad row')} in {result.file}, which has {_rows(result.rows)}; correct the file, or"
        " skip them with --bad-rows FILE"
    )


def _describe_pass(result: ProduceResult, name: str, continue_with: str | None) -> str:
    if result.stopped_by == "already-complete":
        return (
            f"Run {result.run_id} is complete; nothing was sent. To send {name} again, use another --run-id or"
            " --restart."
        )
    done = result.rows_done or 0
    if result.stopped_by == "end":
        subject = f"Run {result.run_id} is complete" if result.run_id else f"{name} is complete"
        earlier = f", after {_rows(result.resumed_from)} in earlier runs" if result.resumed_from else ""
        return f"{subject}: {_rows(result.sent)} sent{earlier}."
    reason = "Stopped by --limit" if result.stopped_by == "limit" else "Interrupted"
    if not done:
        return f"{reason} before a row was sent. Run {continue_with or 'the same command'} to continue."
    total = f" of {format_count(result.rows_total)}" if result.rows_total else ""
    return f"{reason} at row {format_count(done)}{total}. Run {continue_with or 'the same command'} to continue."


def _rows(count: int, noun: str = "row") -> str:
    return f"{format_count(count)} {noun}{'' if count == 1 else 's'}"
