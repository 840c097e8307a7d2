"""Start of a pass: its first row, the row after the stored progress, or an error if another pass is unfinished."""

import logging
from collections.abc import Callable
from dataclasses import replace
from uuid import uuid4

from telco_stream.errors import DataError
from telco_stream.produce.progress import CheckpointFile, PassKey, PassProgress, exclude_content
from telco_stream.produce.rows import describe_changed_rows
from telco_stream.produce.writer import RowWriter

log = logging.getLogger("telco_stream.produce.loop")

_WAYS_OUT = "finish it, use another --checkpoint-file, or start over with --restart"


def find_start(
    pass_key: PassKey, checkpoint: CheckpointFile, writer: RowWriter, *, restart: bool
) -> tuple[PassProgress, bool]:
    """Return the progress to start from, and whether the pass sends a file again that was sent whole.

    If Kafka stores the progress, its copy counts and the file is a mirror.
    """
    in_file = _read_unless_damaged(checkpoint.read, restart=restart)
    if in_file and not restart:
        _check_file(pass_key, in_file, is_shared=writer.stores_progress)
    if not writer.stores_progress:
        return start_of(pass_key, in_file, restart=restart), _is_repeat(pass_key, in_file)
    in_kafka = _read_unless_damaged(writer.read_progress, restart=restart)
    if in_kafka is None and not restart:
        in_kafka = _recover_progress(pass_key, in_file, writer)
    elif in_file and in_file.of.identity == pass_key.identity and not restart:
        _warn_if_different(pass_key, in_file, start_of(pass_key, in_kafka))
    start = start_of(pass_key, in_kafka, restart=restart)
    # Kafka stores each run separately, so only the file has the finished contents of other runs.
    other_runs = [name for name in in_file.finished if not name.startswith(pass_key.run_digest)] if in_file else ()
    return replace(start, finished=(*other_runs, *start.finished)), _is_repeat(pass_key, in_kafka)


def start_of_stream(stream_key: PassKey, checkpoint: CheckpointFile, *, restart: bool) -> PassProgress:
    """Return the progress of a new stream; raise `DataError` if the file holds an unfinished pass."""
    stored = _read_unless_damaged(checkpoint.read, restart=restart)
    if stored and stored.is_unfinished and not restart:
        raise DataError(
            f"{checkpoint.path} holds the unfinished pass of {stored.of.file}; finish it with --mode batch, use"
            " another --checkpoint-file, or start over with --restart"
        )
    return PassProgress(stream_key, mode="streaming", finished=stored.finished if stored else ())


def start_of(pass_key: PassKey, stored: PassProgress | None, *, restart: bool = False) -> PassProgress:
    """Return the progress to start from, given stored progress; raise `DataError` if it belongs to another pass."""
    if stored is None:
        return _first_row(pass_key)
    if restart:
        return _first_row(pass_key, exclude_content(stored.finished, pass_key))
    if stored.has_finished(pass_key):
        return replace(stored, of=pass_key, complete=True)
    if not stored.is_unfinished:
        return _first_row(pass_key, stored.finished)
    _refuse_earlier_topic(pass_key, stored)
    if pass_key.identity != stored.of.identity:
        _refuse_other_file_or_topic(pass_key, stored)
        unfinished = "pass without --run-id" if stored.of.run_id is None else f"run {stored.of.run_id}"
        raise DataError(f"The checkpoint file holds the unfinished {unfinished}; {_WAYS_OUT}")
    if pass_key.row_format != stored.of.row_format:
        _refuse_other_format(pass_key, stored)
    if stored.rows_hash is None and stored.of.fingerprint != pass_key.fingerprint:
        # Stored by an earlier version, which did not hash the rows that it sent.
        raise DataError(describe_changed_rows(pass_key, stored.rows_done))
    return replace(stored, of=pass_key)


def _is_repeat(pass_key: PassKey, stored: PassProgress | None) -> bool:
    """Return whether an earlier pass without a run ID has sent the same content to the same topic."""
    return (
        stored is not None
        and stored.mode == "batch"
        and stored.complete
        and pass_key.run_id is None
        and (stored.of.identity, stored.of.fingerprint) == (pass_key.identity, pass_key.fingerprint)
        and not stored.of.is_to_earlier_topic(pass_key)
    )


def _first_row(pass_key: PassKey, finished: tuple[str, ...] = ()) -> PassProgress:
    return PassProgress(pass_key, finished=finished, pass_id=uuid4().hex)


def _read_unless_damaged(read: Callable[[], PassProgress | None], *, restart: bool) -> PassProgress | None:
    """Read progress; with --restart, ignore invalid progress instead of raising `DataError`."""
    try:
        return read()
    except DataError:
        if restart:
            return None
        raise


def _check_file(pass_key: PassKey, in_file: PassProgress, *, is_shared: bool) -> None:
    """Refuse a file with another unfinished pass; named runs whose progress is in Kafka can share a file."""
    _refuse_earlier_topic(pass_key, in_file)
    if is_shared and pass_key.run_id is None:
        _refuse_other_file_or_topic(pass_key, in_file)
    same_run = pass_key.run_id is not None and in_file.of.identity == pass_key.identity
    if same_run and in_file.of.is_to_earlier_topic(pass_key):
        log.warning(
            "topic %s has been deleted and created again: the rows that this run sent to it are gone", pass_key.topic
        )


def _recover_progress(pass_key: PassKey, in_file: PassProgress | None, writer: RowWriter) -> PassProgress | None:
    """Return progress that Kafka no longer stores as an offset; None for a new pass.

    Raises `DataError` if the progress is lost.
    """
    if in_file and in_file.has_finished(pass_key):  # the file is written after the commit and so is never ahead
        return in_file
    same_pass = in_file if in_file and in_file.is_unfinished and in_file.of.identity == pass_key.identity else None
    marked = writer.search_marks(whole=same_pass is not None)
    if marked and marked.progress.is_unfinished and not marked.is_certain:
        _refuse_lost_progress(same_pass)
    if marked is None and same_pass:
        _refuse_lost_progress(start_of(pass_key, same_pass))
    if marked is None:
        return None
    row = marked.progress.rows_done
    log.warning("Kafka has deleted the progress of this pass; according to its records, row %d was the last", row)
    return marked.progress


def _warn_if_different(pass_key: PassKey, in_file: PassProgress, in_kafka: PassProgress) -> None:
    rows = [
        progress.rows_done if progress.is_unfinished or progress.has_finished(pass_key) else 0
        for progress in (in_file, in_kafka)
    ]
    if rows[0] != rows[1]:
        log.warning("the checkpoint file says row %d, Kafka says row %d; continuing from Kafka's row", *rows)


def _refuse_other_file_or_topic(pass_key: PassKey, stored: PassProgress) -> None:
    if stored.is_unfinished and (stored.of.file, stored.of.topic) != (pass_key.file, pass_key.topic):
        raise DataError(
            f"The checkpoint file holds an unfinished pass of {stored.of.file} to {stored.of.topic}; {_WAYS_OUT}"
        )


def _refuse_earlier_topic(pass_key: PassKey, stored: PassProgress) -> None:
    """Raise `DataError` if the topic was deleted and created again during this pass."""
    is_same_pass = stored.is_unfinished and pass_key.identity == stored.of.identity
    if is_same_pass and stored.of.is_to_earlier_topic(pass_key):
        raise DataError(
            f"Topic {pass_key.topic} has been deleted and created again since row {stored.rows_done} was"
            f" sent (its ID was {stored.of.topic_id} and is {pass_key.topic_id}); start over with --restart"
        )


def _refuse_other_format(pass_key: PassKey, stored: PassProgress) -> None:
    """Raise `DataError`: the rest of the rows would become other messages than those before."""
    subject = "pass" if pass_key.run_id is None else f"run {pass_key.run_id}"
    before, now = (key.row_format or "the built-in contract" for key in (stored.of, pass_key))
    raise DataError(
        f"The unfinished {subject} has sent {stored.rows_done} rows with {before}, and this command has {now}; repeat"
        " the earlier command to continue, or start over with --restart"
    )


def _refuse_lost_progress(in_file: PassProgress | None) -> None:
    """Raise `DataError`: the last row of the pass is unknown."""
    by_file = in_file and (
        f", or continue after row {in_file.rows_done}, the last one in the checkpoint file, with"
        " --delivery at-least-once (rows sent after it are then sent twice)"
    )
    raise DataError(
        "Kafka has deleted the progress of this pass (as it does with unused offsets after offsets.retention.minutes),"
        f" and the topic doesn't show how far it came; send all rows again with --restart{by_file or ''}"
    )
