"""`report --html`: one page that asks nothing of anybody: text, pictures, style and script in one file."""

import base64
import hashlib
from collections.abc import Mapping
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from telco_stream import __version__
from telco_stream.analytics import Segment
from telco_stream.contracts.manifest import Manifest
from telco_stream.display.text import count, percent, visible
from telco_stream.page.figures import figures, has_made
from telco_stream.page.words import period_words, share_of, width_words
from telco_stream.report.facts import Facts
from telco_stream.report.table import csv_line

_SCRIPT = "script.js"
#: Names of contracts and of services that are crossed; strangers may have written more into the topic.
_MOST_SEGMENTS = 8


def render(facts: Facts, manifest: Manifest) -> bytes:
    """The page, in UTF-8; whatever is not its own words is escaped."""
    environment, summary = _environment(), facts.report.summary
    script = environment.get_template(_SCRIPT).render()
    lines, columns = (_largest(names) for names in (summary.by_contract, summary.by_internet_service))
    page = environment.get_template("page.html").render(
        facts=facts,
        summary=summary,
        manifest=manifest,
        period=period_words(facts.wanted.period),
        versions=facts.trends.versions.most_common(),
        own_threshold=has_made(facts, manifest),
        step=width_words(facts.trends.timeline.width),
        figures=figures(facts, manifest),
        lines=lines,
        columns=columns,
        left_out=sum(pair[0] not in lines or pair[1] not in columns for pair in facts.report.crossed),
        version=__version__,
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )
    return page.encode(errors="backslashreplace")


def _largest(segments: Mapping[str, Segment]) -> list[str]:
    """The names of the largest segments, in their order."""
    largest = sorted(segments, key=lambda name: -segments[name].total)[:_MOST_SEGMENTS]
    return [name for name in segments if name in largest]


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "template"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "count": count,
        "percent": percent,
        "visible": visible,
    }
    environment.globals |= {"csv_line": csv_line, "share_of": share_of}
    return environment
