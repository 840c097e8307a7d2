"""`telco-stream report`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO

import typer

from telco_stream.cli import options

if TYPE_CHECKING:
    from telco_stream.model.manifest import Manifest
    from telco_stream.report.predictions import Report
    from telco_stream.report.run import ReportData


def report(
    broker: options.Broker = None,
    top_k: options.TopK = 10,
    since: options.Since = None,
    until: options.Until = None,
    model_version: Annotated[
        str | None, typer.Option(metavar="VERSION", help="Only predictions of this model version.")
    ] = None,
    html: Annotated[Path | None, typer.Option(metavar="FILE", help="Write a report to FILE as HTML.")] = None,
    csv: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the predictions to FILE as CSV.")] = None,
    model: options.Model = None,
    timeout: options.Timeout = 10.0,
    output: options.Output = "table",
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Summarize the predictions. Shows totals, churn rate, segments and the customers most at risk."""
    import time

    from telco_stream.cli.session import Session
    from telco_stream.model.artifact import read_manifest
    from telco_stream.report.files import PredictionTable, open_outputs
    from telco_stream.report.predictions import PredictionFilter
    from telco_stream.report.run import ReportOptions, run_report, run_report_data
    from telco_stream.runtime.period import parse_period

    criteria = PredictionFilter(parse_period(since, until, time.time()), model_version)
    flags = {"bootstrap_servers": broker, "model.path": model and str(model)}
    session = Session(output, quiet=quiet, verbose=verbose, flags=flags, timeout=timeout)
    with open_outputs(html, csv) as (page, table):
        manifest = read_manifest(session.model_folder()) if page else None
        with session.screen.progress("report") as bar:
            report_options = ReportOptions(top_k, criteria, [PredictionTable(table).add] if table else [], bar.advance)
            if page and manifest:
                result = _write_page(
                    page, manifest, run_report_data(session.clients, report_options, stop=session.stop)
                )
            else:
                result = run_report(session.clients, report_options, stop=session.stop)
    session.screen.show(result)
    for path in filter(None, (html, csv)):
        session.screen.say(f"Wrote {path}.")


def _write_page(file: BinaryIO, manifest: "Manifest", data: "ReportData") -> "Report":
    # Imported here because the template library is slow to load, and an unreachable broker should be reported first.
    from telco_stream.report.html import render

    file.write(render(data, manifest))
    return data.report
