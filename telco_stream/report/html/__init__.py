"""`report --html`: one file with text, figures, style and script, which requests nothing from elsewhere."""

import base64
import hashlib
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from telco_stream import __version__
from telco_stream.model.drift.sentences import CAVEAT, QUALITY_CAVEAT, drift_sentences
from telco_stream.model.manifest import Manifest
from telco_stream.report.customers import CustomerSegment
from telco_stream.report.html import charts
from telco_stream.report.html.figures import draw_figures, few_note, largest
from telco_stream.report.run import ReportData, csv_line
from telco_stream.report.wording import Wording, capitalize, column_name, shorten
from telco_stream.runtime.humanize import (
    escape_unprintable,
    format_count,
    format_percent,
    format_share,
    format_time,
)
from telco_stream.runtime.period import Period

_SCRIPT = "script.js"


def render(data: ReportData, manifest: Manifest) -> bytes:
    """Render the page in UTF-8, with everything that comes from Kafka escaped; `manifest` is that of the report."""
    environment, summary = _environment(), data.report.summary
    script = environment.get_template(_SCRIPT).render()
    rows, columns = (_largest_of(data.report.crosstab, position) for position in (0, 1))
    segments = summary.contract.segments
    page = environment.get_template("page.html").render(
        data=data,
        summary=summary,
        words=Wording(summary.contract),
        manifest=manifest,
        period=_describe_period(data.criteria.period),
        versions=data.trends.versions.most_common(),
        is_by_model=data.report.is_by_model,
        figures=draw_figures(data, manifest),
        pair_names=tuple(map(column_name, segments[:2])) if len(segments) > 1 else None,
        drift_sentences=list(drift_sentences(summary.drift)) if summary.drift else [],
        drift_caveats=(CAVEAT, QUALITY_CAVEAT),
        has_segments=bool(segments or summary.segments),
        pair_rows=rows,
        pair_columns=columns,
        hidden_segments=sum(pair[0] not in rows or pair[1] not in columns for pair in data.report.crosstab),
        version=__version__,
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )
    return page.encode(errors="backslashreplace")


def _largest_of(crosstab: Mapping[tuple[str, str], CustomerSegment], position: int) -> list[str]:
    """Return the values of the first segment (0) or of the second (1) with the most customers."""
    sizes = Counter[str]()
    for pair, segment in crosstab.items():
        sizes[pair[position]] += segment.customers
    return largest(sizes)


def _describe_period(period: Period) -> str:
    """Return the start of a sentence that says which predictions the page is about."""
    since = f"from {format_time(period.since)}" if period.since else ""
    until = f"before {format_time(period.until)}" if period.until else ""
    bounds = " and ".join(filter(None, [since, until]))
    return f"Predictions made {bounds} UTC" if bounds else "All predictions"


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "template"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "capitalized": capitalize,
        "column_name": column_name,
        "count": format_count,
        "percent": format_percent,
        "printable": escape_unprintable,
        "px": "{:.1f}".format,
        "shortened": shorten,
    }
    environment.globals |= {
        "csv_line": csv_line,
        "format_share": format_share,
        "few_note": few_note,
        "is_few": charts.is_few,
        "chart_width": charts.WIDTH,
        "decimals": "{:.3f}".format,
        "percent": format_percent,
        "points": lambda share: f"{100 * share:.1f}",
    }
    return environment
