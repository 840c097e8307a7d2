"""Reads a command's metrics port as Prometheus does, and the list of documented metrics."""

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
    """A port for `--metrics-port`."""

    number: int

    def page(self, path: str) -> tuple[int, str]:
        """Return the HTTP status and the text of a page; status 0 if the port is closed."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.number}{path}", timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as answer:
            return answer.code, answer.read().decode()
        except OSError:
            return 0, ""

    def metrics(self) -> dict[str, float]:
        """Return the value of each series by name and labels; histograms as their parts."""
        status, text = self.page("/metrics")
        assert status == 200, text
        return series(text)


def free_port() -> Port:
    """Return a free port."""
    return Port(ports.free_port())


def series(text: str) -> dict[str, float]:
    """Return the value of each series of a metrics page, keyed as Prometheus writes it."""
    values = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = ",".join(f'{name}="{value}"' for name, value in sorted(sample.labels.items()))
            values[f"{sample.name}{{{labels}}}" if labels else sample.name] = sample.value
    return values


def families(text: str) -> dict[str, str]:
    """Return the type of each metric of a page by its documented name."""
    return {
        f"{family.name}_total" if family.type == "counter" else family.name: family.type
        for family in text_string_to_metric_families(text)
    }


def labels(text: str) -> dict[str, set[str]]:
    """Return the label names of each `telco_stream` metric of a page, without `le`."""
    return {
        name: {label for sample in one.samples for label in sample.labels} - {"le"}
        for one in text_string_to_metric_families(text)
        if (name := f"{one.name}_total" if one.type == "counter" else one.name).startswith("telco_stream_")
    }


def documented(section: Section) -> dict[str, str]:
    """Name and type of each metric that docs/metrics.md lists for a command, or for both."""
    return {name: item["type"] or "" for item in _items(section) for name in re.findall(r"`([a-z_]+)`", item["names"])}


def documented_labels(section: Section) -> dict[str, set[str]]:
    """Return the labels that docs/metrics.md lists for each `telco_stream` metric."""
    return {
        name: set(re.findall(r"`([a-z_]+)`", item["labels"] or ""))
        for item in _items(section)
        for name in re.findall(r"`(telco_stream_[a-z_]+)`", item["names"])
    }


#: Names, and type and labels in parentheses.
_ITEM = re.compile(r"^- (?P<names>`[^:(]+`)(?: \((?P<type>\w+)(?:; (?P<labels>[^)]+))?\))?: ", re.MULTILINE)


def _items(section: Section) -> list[re.Match[str]]:
    text = (ROOT / "docs/metrics.md").read_text()
    return list(_ITEM.finditer(text.partition(f"\n### {section}\n")[2].partition("\n#")[0]))
