"""A command's port, read as Prometheus and a supervisor read it; and the list of metrics that the docs promise."""

import re
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Literal

from prometheus_client.parser import text_string_to_metric_families

from tests.support import ports
from tests.support.cli import ROOT

Section = Literal["consume", "produce", "both"]


@dataclass(frozen=True, slots=True)
class Port:
    """`--metrics-port`, free when it was chosen."""

    number: int

    def page(self, path: str) -> tuple[int, str]:
        """Status and text; status 0 while nobody listens."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.number}{path}", timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as answer:
            return answer.code, answer.read().decode()
        except OSError:
            return 0, ""

    def metrics(self) -> dict[str, float]:
        """Each series' value, by its name with its labels as Prometheus writes them; histograms by their parts."""
        status, text = self.page("/metrics")
        assert status == 200, text
        return series(text)


def free_port() -> Port:
    """A port that nobody listens at."""
    return Port(ports.free_port())


def series(text: str) -> dict[str, float]:
    """The series of a page."""
    found = {}
    for family in text_string_to_metric_families(text):
        for one in family.samples:
            labels = ",".join(f'{name}="{value}"' for name, value in sorted(one.labels.items()))
            found[f"{one.name}{{{labels}}}" if labels else one.name] = one.value
    return found


def families(text: str) -> dict[str, str]:
    """Name, as the docs write it, and type of each metric of a page."""
    return {
        f"{one.name}_total" if one.type == "counter" else one.name: one.type
        for one in text_string_to_metric_families(text)
    }


def labels(text: str) -> dict[str, set[str]]:
    """The names of the labels of each of the project's own metrics on a page, but for a bucket's bound."""
    return {
        name: {label for sample in one.samples for label in sample.labels} - {"le"}
        for one in text_string_to_metric_families(text)
        if (name := f"{one.name}_total" if one.type == "counter" else one.name).startswith("telco_stream_")
    }


def documented(section: Section) -> dict[str, str]:
    """Name and type of each metric that docs/metrics.md lists for a command, or for both."""
    return {name: row[1] for row in _rows(section) for name in re.findall(r"`([a-z_]+)`", row[0])}


def documented_labels(section: Section) -> dict[str, set[str]]:
    """The labels that docs/metrics.md lists for each metric of the project's own."""
    return {
        name: set(re.findall(r"`([a-z_]+)`", row[2]))
        for row in _rows(section)
        for name in re.findall(r"`(telco_stream_[a-z_]+)`", row[0])
    }


def _rows(section: Section) -> list[list[str]]:
    text = (ROOT / "docs/metrics.md").read_text()
    rows = text.partition(f"\n### {section}\n")[2].partition("\n#")[0].splitlines()
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows if row.startswith("| `")]
