"""Exported trees against the predictors of their libraries: `python -m benchmarks.trees [TREES [WORD]]`.

The models are those of `tests/support/tree_models.py`, fitted to the public telco data with nulls. Times are the lowest
CPU time of several calls of this thread, in microseconds per record, in batches of 5,000, 50 and 1 that are ready as
the arrays or the data frame that the predictor takes. WORD selects the models with it in their names.
"""

import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from benchmarks.cpu_time import lowest_cpu_time
from telco_stream.contract.events import Event
from telco_stream.model import onnx_engine
from telco_stream.model.features import feature_table
from telco_stream.model.onnx_engine import OnnxScorer, load_onnx
from telco_stream.model.probes import edge_events, split_events
from telco_stream.model.trees.ensemble import split_values
from telco_stream.model.trees.to_onnx import write_onnx
from tests.support.tree_models import Data, Fit, load_data, tree_models

SIZES = (5_000, 50, 1)
CALLS = {5_000: 7, 50: 60, 1: 150}


def main() -> None:
    """Print the table."""
    trees = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    with tempfile.TemporaryDirectory() as folder:
        data = load_data("telco", Path(folder), nulls=True)
    print(f"{'':32} {'exported':>22} {'library, frame':>24}  largest")
    print(f"{trees} trees".ljust(32), *[f"{size:>7,}" for size in SIZES] * 2, " difference    kB  export s")
    word = sys.argv[2] if len(sys.argv) > 2 else ""
    for name, fit in tree_models(trees).items():
        if word not in name:
            continue
        print(f"{name:32}", *_figures(fit, data), flush=True)


def _figures(fit: Fit, data: Data) -> list[str]:
    model = fit(data)
    started = time.perf_counter()
    ensemble = model.read()
    content = write_onnx(ensemble, data.codec.contract)
    seconds = time.perf_counter() - started
    scorer = load_onnx(content, data.codec, version="", threshold=0.5)
    events = [
        *data.events,
        *edge_events(data.codec, data.events, seed=0),
        *split_events(data.codec, data.events, split_values(ensemble, data.codec.contract), seed=0),
    ]
    difference = np.abs(np.array(scorer.score(events)) - model.predict(events)).max()
    with threadpool_limits(1):
        exported = [_microseconds(partial(_run, scorer), _arrays(scorer, data.events[:size]), size) for size in SIZES]
        library = [_microseconds(model.call, model.prepare(data.events[:size]), size) for size in SIZES]
    return [*exported, *library, f" {difference:10.1e} {len(content) / 1000:5,.0f} {seconds:9.2f}"]


def _arrays(scorer: OnnxScorer, events: Sequence[Event]) -> dict[str, Any]:
    table = feature_table(scorer.codec.events, events)
    return {node.name: node.read(table) for node in scorer.inputs}


def _run(scorer: OnnxScorer, arrays: dict[str, Any]) -> Any:
    (values,) = scorer.session.run([scorer.output], arrays)
    return values if scorer.output == "probabilities" else onnx_engine._logistic(values)


def _microseconds(call: Callable[[Any], object], prepared: Any, size: int) -> str:
    return f"{lowest_cpu_time(lambda: call(prepared), size, CALLS[size]) / 1000:7,.1f}"


if __name__ == "__main__":
    main()
