"""What was measured, as text of at most 110 columns, and as JSON."""

import json
import os
import platform
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.bench import Counts
from benchmarks.goals import GOALS
from benchmarks.measured import Figure, Figures
from benchmarks.throughput import SUBJECTS

LIBRARIES = ("confluent-kafka", "msgspec", "numpy", "onnxruntime", "pandas", "scikit-learn")


def facts(counts: Counts, broker: str) -> dict[str, Any]:
    """Where and with what this was measured; no name of the machine."""
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "machine": {"cores": os.cpu_count(), "memory_gb": _memory(), "processor": _processor()},
        "broker": broker,
        "versions": {name: version(name) for name in LIBRARIES},
        "counts": asdict(counts),
    }


def lines(facts: Mapping[str, Any], figures: Figures) -> Iterator[str]:
    """The whole report."""
    machine = facts["machine"]
    yield f"{facts['at']}, Python {facts['python']}, {machine['cores']} cores of {machine['processor']},"
    yield f"{machine['memory_gb']} GB, {facts['broker']}; {', '.join(map(' '.join, facts['versions'].items()))}"
    yield "each figure is the median of its runs, ± half of what lies between the lowest and the highest"
    yield from _throughput(figures)
    yield from _latency(figures)
    yield from _seconds(figures)
    yield from _goals(figures)


def save(folder: Path, facts: Mapping[str, Any], figures: Figures) -> Path:
    """Write everything beside the table; the path of the file."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{facts['at'][:16].replace(':', '')}.json"
    told = {
        name: {one: {"median": it.median, "runs": it.runs} for one, it in some.items()}
        for name, some in figures.items()
    }
    path.write_text(json.dumps({**facts, "figures": told}, indent=1) + "\n")
    return path


def _throughput(figures: Figures) -> Iterator[str]:
    shown = [one for one in SUBJECTS if one.name in figures]
    if not shown:
        return
    yield ""
    yield f"{'':27} {'offsets':13} {'checks':6} {'letters':7} {'records/s':>18} {'CPU µs/record':>16} {'MB':>5}"
    for one in shown:
        found = figures[one.name]
        yield (
            f"{one.name:27} {one.promise:13} {one.checks:6} {one.letters:7} {_text(found['rate'], 0):>18}"
            f" {_text(found['cpu_us'], 1):>16} {found['rss_mb'].median:5.0f}"
        )


def _latency(figures: Figures) -> Iterator[str]:
    shown = {name: found for name, found in figures.items() if "p50_ms" in found}
    if not shown:
        return
    yield ""
    yield f"{'end to end, milliseconds':45} {'p50':>18} {'p95':>18} {'p99':>18}"
    for name, found in shown.items():
        yield f"{name.removeprefix('latency '):45}" + "".join(f" {_text(one, 1):>18}" for one in found.values())


def _seconds(figures: Figures) -> Iterator[str]:
    shown = {name: found["seconds"] for name, found in figures.items() if "seconds" in found}
    if shown:
        yield ""
        yield f"{'start-up':45} {'seconds':>18}"
    for name, one in shown.items():
        yield f"{name:45} {_text(one, 2):>18}"


def _goals(figures: Figures) -> Iterator[str]:
    yield ""
    yield f"{'figures to reach':45} {'measured':>10} {'at least':>10} {'aim':>7}"
    for goal in GOALS:
        if judged := goal.judge(figures):
            value, word = judged
            sign, aim = "≤ " if goal.at_most else "", "" if goal.aim is None else f"{goal.aim:g}"
            yield f"{goal.name:45} {value:10.2f} {sign + format(goal.least, 'g'):>10} {aim:>7}  {word}"


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
