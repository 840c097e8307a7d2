"""CPU time of answers with reasons: `python -m benchmarks.reasons [MODEL]`.

Each row is the lowest CPU time of `process` over several batches of 5,000 records of the bundled sample, in
microseconds per record, and its ratio to the time without reasons. The kinds of answers alternate, so that all of them
noise of the machine. MODEL is a folder, by default the bundled model.
"""

import csv
import json
import sys
from collections.abc import Callable
from functools import partial
from itertools import cycle, islice
from pathlib import Path

from benchmarks.cpu_time import lowest_cpu_time
from telco_stream.model.artifact import load_scorer
from telco_stream.model.reasons.request import ReasonRequest
from telco_stream.runtime.files import bundled
from telco_stream.scoring import Limits, process
from tests.support.cli import ROOT
from tests.support.records import FakeRecord

SIZE, ROUNDS = 5_000, 40
KINDS = {
    "none": None,
    "3 for flagged": ReasonRequest(3, flagged_only=True),
    "3 for all": ReasonRequest(3),
    "3 for all, with values": ReasonRequest(3, with_values=True),
    "all features for all": ReasonRequest(100),
}


def main() -> None:
    """Print the table."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(bundled("models/churn"))
    plain, explained = load_scorer(folder), load_scorer(folder, reasons="all")
    with (ROOT / "data/sample_customers.csv").open() as file:
        rows = [json.dumps(row | {"event_ts": "2026-01-01T00:00:00Z"}).encode() for row in csv.DictReader(file)]
    records = [FakeRecord(value, offset) for offset, value in enumerate(islice(cycle(rows), SIZE))]
    calls: dict[str, Callable[[], object]] = {
        name: partial(
            process,
            records,
            explained if request else plain,
            processed_at="2026-01-01T00:00:01Z",
            limits=Limits(),
            reasons=request,
        )
        for name, request in KINDS.items()
    }
    best = dict.fromkeys(calls, float("inf"))
    for _ in range(ROUNDS):
        for name, call in calls.items():
            best[name] = min(best[name], lowest_cpu_time(call, SIZE, 1) / 1_000)
    for name, microseconds in best.items():
        print(f"{name:24} {microseconds:8.2f} µs  x {microseconds / best['none']:.2f}")


if __name__ == "__main__":
    main()
