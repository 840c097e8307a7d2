"""`telco-stream explain`."""

from typing import TYPE_CHECKING, Annotated

import typer

from telco_stream.cli import options
from telco_stream.cli.session import Session
from telco_stream.errors import DataError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence


def explain(
    customer: Annotated[
        str | None, typer.Option(metavar="ID", help="Explain the newest prediction of this key.")
    ] = None,
    source: Annotated[
        str | None,
        typer.Option(metavar="TOPIC/PARTITION/OFFSET", help="Explain the prediction of this record of the raw topic."),
    ] = None,
    change: Annotated[
        list[str] | None,
        typer.Option(metavar="FEATURE=VALUE", help="Answer the record with another value too; repeatable."),
    ] = None,
    broker: options.Broker = None,
    model: options.Model = None,
    engine: options.Engine = "auto",
    records: Annotated[
        int, typer.Option(min=0, metavar="N", help="Search the newest N predictions; 0 searches all.")
    ] = 1_000_000,
    timeout: options.Timeout = 10.0,
    output: options.Output = "table",
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Explain a prediction, and compute it again from its record. Exits 5 if the result is another one."""
    from telco_stream.display.progress import RowProgress
    from telco_stream.model.artifact import load_with_all_reasons
    from telco_stream.report.explanation import explain as explain_record
    from telco_stream.report.explanation import key_of
    from telco_stream.report.lookup import LookupOptions
    from telco_stream.report.run import find_prediction, read_source

    session = Session(
        output, quiet=quiet, verbose=verbose, flags={"bootstrap_servers": broker, "model.path": model}, timeout=timeout
    )
    if (customer is None) == (source is None):
        raise UsageError("Give --customer ID or --source TOPIC/PARTITION/OFFSET")
    changes = _changes(change or [])
    clients, stop, contract = session.clients, session.stop, session.contract()
    record = None if source is None else read_source(clients, source, stop=stop)
    key = customer if record is None else key_of(record, contract)
    with session.screen.live(RowProgress("search")) as bar:
        lookup = LookupOptions(key or "", 1, records, bar.advance, contract)
        answer = find_prediction(clients, lookup, source, stop=stop)
    if record is None:
        if not answer.source:
            raise DataError("The prediction does not say which record it answers: it has no header `source`")
        record = read_source(clients, answer.source, stop=stop)
    files = session.files_of_version(answer.prediction.model_version)
    approximate = answer.prediction.reasons_approximate is True
    scorers = load_with_all_reasons(files, session.model_origin, engine, approximate=approximate)
    result = explain_record(answer, record, scorers, changes)
    session.screen.show_explanation(result, session.sentences())
    if not result.reproduced:
        raise DataError(f"The prediction can't be reproduced: {'; '.join(result.differences)}")


def _changes(texts: "Sequence[str]") -> dict[str, str]:
    """Return the values of `--change` by feature."""
    pairs = [text.partition("=") for text in texts]
    if invalid := next((text for text, pair in zip(texts, pairs, strict=True) if not pair[1] or not pair[0]), None):
        raise UsageError(f"--change {invalid}: give FEATURE=VALUE; nothing after the = is null")
    return {name: value for name, _, value in pairs}
