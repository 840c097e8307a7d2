"""CPU time of answers with reasons: `python -m benchmarks.reasons [MODEL]`, or `--trees`.

Each row is the lowest CPU time of `process` over several batches of 5,000 records of the bundled sample, in
microseconds per record, and its ratio to the time without reasons. The kinds of answers alternate, so that noise of the
machine affects all of them. MODEL is a folder, by default the bundled model.

`--trees` fits models of 300 trees to the bundled sample, and prints the CPU time of exact and of approximate
contributions, and how many records, and how many flagged ones, have the same top reason in both.
"""

import csv
import json
import sys
from collections.abc import Callable
from functools import partial
from itertools import cycle, islice
from pathlib import Path

import numpy as np

from benchmarks.cpu_time import lowest_cpu_time
from telco_stream.contract.document import builtin_contract
from telco_stream.csv.validation import CsvFormat
from telco_stream.messages.codec import compile_contract
from telco_stream.model.artifact import load_scorer
from telco_stream.model.labelled import read_labelled_events
from telco_stream.model.reasons.build import build_reasons
from telco_stream.model.reasons.files import load_reasons
from telco_stream.model.reasons.request import ReasonRequest
from telco_stream.runtime.files import bundled
from telco_stream.scoring import Limits, process
from tests.support.cli import ROOT
from tests.support.records import FakeRecord
from tests.support.tree_models import Data, FunctionScorer, tree_models

SIZE, ROUNDS = 5_000, 40
#: Trees of a model, and events of a batch, with `--trees`.
TREES, BATCH = 300, 500
KINDS = {
    "none": None,
    "3 for flagged": ReasonRequest(3, flagged_only=True),
    "3 for all": ReasonRequest(3),
    "3 for all, with values": ReasonRequest(3, with_values=True),
    "all features for all": ReasonRequest(100),
}


def main() -> None:
    """Print a table."""
    if sys.argv[1:] == ["--trees"]:
        compare_trees()
    else:
        time_answers()


def compare_trees() -> None:
    """Print a line for each model."""
    contract = builtin_contract()
    codec = compile_contract(contract)
    labelled = read_labelled_events(ROOT / "data/sample_customers.csv", CsvFormat(contract, requires_label=True), codec)
    data = Data(codec, labelled.events, np.array(labelled.positive))
    for name in ("xgboost", "lightgbm"):
        model = tree_models(TREES)[name](data)
        scorer = FunctionScorer(model.predict, codec)
        files = build_reasons(model.read, scorer, None, labelled).files
        exact, approximate = (load_reasons(files, codec, "all", approximate=kind) for kind in (False, True))
        events = data.events[:BATCH]
        if exact is None or approximate is None:
            raise SystemExit(f"{name} has no reasons")
        for kind, explainer in {"exact": exact, "approximate": approximate}.items():
            microseconds = lowest_cpu_time(partial(explainer.contributions, events), BATCH, 5) / 1_000
            print(f"{name:10} {kind:12} {microseconds:8.1f} µs")
        flagged = np.array(scorer.score(data.events)) >= scorer.threshold
        tops = [np.abs(explainer.contributions(data.events)).argmax(axis=1) for explainer in (exact, approximate)]
        same = tops[0] == tops[1]
        print(f"{name:10} same top reason {same.mean():.0%}, of {flagged.sum()} flagged {same[flagged].mean():.0%}")


def time_answers() -> None:
    """Print a line for each kind of answer."""
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
