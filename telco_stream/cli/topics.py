"""The commands that create, read and check the topics: `topics init`, `report` and `verify`."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO

import typer

from telco_stream.cli import options
from telco_stream.cli.drift import prepare_drift
from telco_stream.cli.session import Session
from telco_stream.errors import DataError, UsageError
from telco_stream.runtime.files import STDOUT

if TYPE_CHECKING:
    from collections.abc import Callable

    from telco_stream.model.drift.results import DriftResult
    from telco_stream.quality.run import QualityOptions
    from telco_stream.report.predictions import ContactCosts, Report, ReportOptions
    from telco_stream.runtime.signals import Stop

group = typer.Typer(name="topics", no_args_is_help=True, help="Create the topics.")


@group.command()
def init(
    broker: options.Broker = None,
    topic: options.Topic = None,
    models: Annotated[
        bool, typer.Option("--models", help="Also create the topic of models, for model publish.")
    ] = False,
    outcomes: Annotated[
        bool, typer.Option("--outcomes", help="Also create the topic of outcomes, for outcomes send.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would be created.")] = False,
    timeout: options.Timeout = 10.0,
    output: options.Output = "table",
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Create the topics. Reports existing topics and leaves them unchanged."""
    from telco_stream.kafka.cluster import Cluster
    from telco_stream.kafka.topics import compacted_topics, compaction_warning, init_topics, retention_warning
    from telco_stream.runtime.humanize import count_of

    session = Session(
        output, quiet=quiet, verbose=verbose, flags={"bootstrap_servers": broker, "topics.raw": topic}, timeout=timeout
    )
    cluster = Cluster(session.clients, session.stop)
    result = init_topics(cluster, session.settings, models=models, outcomes=outcomes, dry_run=dry_run)
    existing = [topic.name for topic in result.topics if not topic.created]
    compacted, of_models = compacted_topics(cluster.topic_configs(*existing)), session.settings.topics.models
    for name in compacted:
        if name != of_models:
            session.screen.warn(compaction_warning(name))
    if of_models in existing and of_models not in compacted:
        session.screen.warn(retention_warning(of_models))
    session.screen.show(result)
    if dry_run:
        missing = count_of(len(result.topics) - len(existing), "topic")
        session.screen.say(f"Nothing was created. Without --dry-run, {missing} would be.")


def report(
    broker: options.Broker = None,
    top_k: options.TopK = options.TOP_K,
    since: options.Since = None,
    until: options.Until = None,
    model_version: options.ModelVersion = None,
    by: Annotated[
        list[str] | None,
        typer.Option(
            "--by",
            metavar="COLUMN",
            help="Show segments by COLUMN of the predictions; repeatable.  [default: the contract's segments]",
        ),
    ] = None,
    contact_cost: Annotated[
        float | None,
        typer.Option(metavar="COST", help="Cost of a contact; with --customer-value, show which contacts pay."),
    ] = None,
    customer_value: Annotated[
        float | None,
        typer.Option(metavar="VALUE", help="What a contact earns if the prediction would have come true."),
    ] = None,
    drift: Annotated[
        bool,
        typer.Option("--drift", help="Also compare the raw topic's records with the training data of the model."),
    ] = False,
    html: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write a report to FILE as HTML; - is stdout.")
    ] = None,
    quality: Annotated[
        bool, typer.Option("--quality", help="With --html, compare predictions with the outcomes of their topic.")
    ] = False,
    outcomes: Annotated[
        Path | None,
        typer.Option(
            "--outcomes", metavar="FILE", help="With --html, compare predictions with outcomes of a CSV file."
        ),
    ] = None,
    horizon: options.Horizon = "30d",
    csv: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the predictions to FILE as CSV; - is stdout.")
    ] = None,
    model: options.Model = None,
    timeout: options.Timeout = 10.0,
    output: options.Output = "table",
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Summarize the predictions. Shows positives expected, who is flagged, segments and the highest probabilities."""
    import time

    from telco_stream.display.progress import RowProgress
    from telco_stream.messages.prediction import PredictionCodec
    from telco_stream.report.predictions import PredictionFilter, ReportOptions
    from telco_stream.report.run import PredictionTable, open_outputs
    from telco_stream.runtime.period import parse_length, parse_period

    costs = _contact_costs(contact_cost, customer_value)
    shows_quality, seconds = quality or outcomes is not None, parse_length(horizon, "--horizon")
    if shows_quality and html is None:
        raise UsageError("--quality and --outcomes add a section to the page: they require --html FILE")
    criteria = PredictionFilter(parse_period(since, until, now := time.time()), model_version)
    flags = {"bootstrap_servers": broker, "model.path": model}
    files = (html, csv)
    session = Session(
        output, quiet=quiet, verbose=verbose, flags=flags, timeout=timeout, writes_to_stdout=STDOUT in files
    )
    with open_outputs(*files) as (page, csv_file):
        manifest = session.manifest(required=page is not None or model is not None)
        contract = session.contract()
        table = PredictionTable(csv_file, PredictionCodec(contract)) if csv_file else None
        with session.screen.live(RowProgress("report")) as bar:
            report_options = ReportOptions(
                top_k,
                criteria,
                on_prediction=[table.add] if table else [],
                on_read=bar.advance,
                contact_costs=costs,
                by=by,
                previous=criteria.period.previous(now),
                contract=contract,
                manifest=manifest,
                sentences=session.sentences(),
            )
            measured = _quality_options(report_options, outcomes, seconds) if shows_quality else None
            read_drift = prepare_drift(session, "auto", criteria.period, None, bar.advance) if drift else None
            result = _read_report(session, report_options, page, measured, read_drift)
        if table:
            table.finish()
    session.screen.show(result)
    for path in files:
        if path not in {None, STDOUT}:
            session.screen.say(f"Wrote {path}.")


def _contact_costs(cost: float | None, value: float | None) -> "ContactCosts | None":
    from telco_stream.report.predictions import ContactCosts

    if cost is None or value is None:
        if cost != value:
            raise UsageError("--contact-cost and --customer-value belong together; give both")
        return None
    return ContactCosts(cost, value)


def _quality_options(report_options: "ReportOptions", outcomes: Path | None, horizon: float) -> "QualityOptions":
    """Return the options for the section about quality: the same predictions, and their outcomes."""
    from telco_stream.csv.validation import outcome_format
    from telco_stream.quality.run import QualityOptions

    return QualityOptions(
        horizon,
        criteria=report_options.criteria,
        contract=report_options.contract,
        outcomes=outcomes,
        uplift="possible",
        csv_format=outcome_format(report_options.contract, ","),
        on_read=report_options.on_read,
    )


def _read_report(
    session: Session,
    report_options: "ReportOptions",
    page: BinaryIO | None,
    quality_options: "QualityOptions | None",
    read_drift: "Callable[[Stop], DriftResult] | None",
) -> "Report":
    """Read the topics, and write the page if there is one."""
    from telco_stream.report.run import run_report, run_report_data

    def with_drift(result: "Report") -> "Report":
        drift = read_drift(session.stop) if read_drift else None
        return replace(result, summary=replace(result.summary, drift=drift))

    if page is None or report_options.manifest is None:
        return with_drift(run_report(session.clients, report_options, stop=session.stop))
    data = run_report_data(session.clients, report_options, stop=session.stop)
    data = replace(data, report=with_drift(data.report))
    if quality_options is not None:
        from telco_stream.quality.run import find_quality

        data = replace(data, quality=find_quality(session.clients, quality_options, stop=session.stop))
        if data.quality is None:
            session.screen.warn("No prediction has an outcome: the page has no section about quality")
    # Imported only now, because it is slow, and an unreachable broker should be reported first.
    from telco_stream.report.html import render

    page.write(render(data, report_options.manifest))
    return data.report


def verify(
    broker: options.Broker = None,
    topic: options.Topic = None,
    group: options.Group = None,
    timeout: options.Timeout = 10.0,
    output: options.Output = "table",
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Check that every input was answered exactly once. Covers all committed offsets; exits 5 on any error."""
    import time

    from telco_stream.checks.verify import verify as audit
    from telco_stream.display.progress import RowProgress
    from telco_stream.kafka.topics import compaction_warning
    from telco_stream.runtime.docs import docs_link

    flags = {"bootstrap_servers": broker, "topics.raw": topic, "consumer.group_id": group}
    session = Session(output, quiet=quiet, verbose=verbose, flags=flags, timeout=timeout)
    name, now = session.settings.consumer.group_id, time.time()
    with session.screen.live(RowProgress("verify")) as bar:
        result = audit(session.clients, name, now=now, stop=session.stop, on_read=bar.advance)
    for compacted in result.compacted_topics:
        session.screen.warn(compaction_warning(compacted))
    session.screen.show(result)
    if not result.is_clean:
        causes = "; ".join(dict.fromkeys(finding.likely_cause for finding in result.findings))
        page = docs_link("delivery.md#when-verify-finds-something")
        raise DataError(f"{result.verdict} Likely cause: {causes}; {page} has all causes")
