"""Figures as text of at most 110 columns, and as JSON."""

import json
import os
import platform
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.figures import Figure, Figures
from benchmarks.goals import GOALS, Goal
from benchmarks.session import Counts
from benchmarks.throughput import SUBJECTS

LIBRARIES = ("confluent-kafka", "msgspec", "numpy", "onnxruntime", "pandas", "scikit-learn")


def describe_session(counts: Counts, broker: str) -> dict[str, Any]:
    """Return machine, versions and counts of a session, without the machine's name."""
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "machine": {"cores": os.cpu_count(), "memory_gb": _memory(), "processor": _processor()},
        "broker": broker,
        "versions": {name: version(name) for name in LIBRARIES},
        "counts": asdict(counts),
    }


def lines(description: Mapping[str, Any], figures: Figures) -> Iterator[str]:
    """Yield the lines of the report."""
    machine = description["machine"]
    yield f"{description['at']}, Python {description['python']}, {machine['cores']} cores of {machine['processor']},"
    versions = ", ".join(map(" ".join, description["versions"].items()))
    yield f"{machine['memory_gb']} GB, {description['broker']}; {versions}"
    yield "each figure is the median of its runs ± half of their range"
    yield from _throughput(figures)
    yield from _latency(figures)
    yield from _seconds(figures)
    yield ""
    yield from goal_lines(GOALS, figures)


def save(folder: Path, description: Mapping[str, Any], figures: Figures) -> Path:
    """Write description and figures as JSON and return the path of the file."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{description['at'][:16].replace(':', '')}.json"
    as_json = {
        subject: {measure: {"median": figure.median, "runs": figure.runs} for measure, figure in measures.items()}
        for subject, measures in figures.items()
    }
    path.write_text(json.dumps({**description, "figures": as_json}, indent=1) + "\n")
    return path


def _throughput(figures: Figures) -> Iterator[str]:
    subjects = [subject for subject in SUBJECTS if subject.name in figures]
    if not subjects:
        return
    yield ""
    yield f"{'':27} {'offsets':13} {'checks':6} {'letters':7} {'records/s':>18} {'CPU µs/record':>16} {'MB':>5}"
    for subject in subjects:
        row = figures[subject.name]
        yield (
            f"{subject.name:27} {subject.delivery:13} {subject.checks:6} {subject.letters:7}"
            f" {_text(row['rate'], 0):>18} {_text(row['cpu_us'], 1):>16} {row['rss_mb'].median:5.0f}"
        )


def _latency(figures: Figures) -> Iterator[str]:
    shown = {name: row for name, row in figures.items() if "p50_ms" in row}
    if not shown:
        return
    yield ""
    yield f"{'end to end, milliseconds':45} {'p50':>18} {'p95':>18} {'p99':>18}"
    for name, row in shown.items():
        yield f"{name.removeprefix('latency '):45}" + "".join(f" {_text(figure, 1):>18}" for figure in row.values())


def _seconds(figures: Figures) -> Iterator[str]:
    shown = {name: row["seconds"] for name, row in figures.items() if "seconds" in row}
    if shown:
        yield ""
        yield f"{'start-up':45} {'seconds':>18}"
    for name, figure in shown.items():
        yield f"{name:45} {_text(figure, 2):>18}"


def goal_lines(goals: Iterable[Goal], figures: Figures) -> Iterator[str]:
    """Yield a heading, and a line for each goal whose figures were measured."""
    yield f"{'goals':45} {'measured':>10} {'at least':>10} {'aim':>7}"
    for goal in goals:
        if result := goal.evaluate(figures):
            value, verdict = result
            sign, aim = "≤ " if goal.at_most else "", "" if goal.aim is None else f"{goal.aim:g}"
            yield f"{goal.name:45} {value:10.2f} {sign + format(goal.least, 'g'):>10} {aim:>7}  {verdict}"


def _text(figure: Figure, digits: int) -> str:
    return f"{figure.median:,.{digits}f} ± {figure.spread:3.0%}"


def _memory() -> int:
    return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30)


def _processor() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.machine()
    names = [line.partition(": ")[2] for line in text.splitlines() if line.startswith("model name")]
    return names[0] if names else platform.machine()
