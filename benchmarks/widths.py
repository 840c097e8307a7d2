"""CPU time per record by the number of columns: `python -m benchmarks.widths`.

Four of ten columns are categories of five values, the others are numbers. Each figure is the lowest of many rounds of
this thread's CPU time on one batch; the model is the linear one, fitted to random labels.
"""

import json
from collections.abc import Callable, Iterator
from random import Random

import numpy as np

from benchmarks.cpu_time import lowest_cpu_time
from telco_stream.contract.schema import Category, Contract, Feature, Key, Label, Number, Time
from telco_stream.messages.codec import Codec
from telco_stream.messages.prediction import encode_prediction
from telco_stream.model.conversion import convert
from telco_stream.model.onnx_engine import OnnxScorer, load_onnx
from telco_stream.model.pipelines import linear
from telco_stream.model.sklearn_engine import frame

SIZE, ROUNDS, FITTED = 5_000, 20, 500
WIDTHS = (5, 19, 100, 300)
TIME = "2026-01-01T00:00:00.000Z"
VALUES = ("alpha", "beta", "gamma", "delta", "epsilon")


def main() -> None:
    """Print the table."""
    print(f"{'columns':>8} {'bytes':>7} {'decode':>8} {'score':>8} {'answer':>8} {'encode':>8} {'sum':>8}  ns a record")
    for width in WIDTHS:
        codec = Codec(contract_of(width))
        values = [*records(codec, SIZE)]
        spent = [*_stages(codec, values)]
        size = sum(map(len, values)) // len(values)
        print(f"{width:8} {size:7,}", *(f"{one:8,.0f}" for one in (*spent, sum(spent))), flush=True)


def contract_of(width: int) -> Contract:
    """Return a contract with this number of features and one segment."""
    features: list[Feature] = [
        Category(name=f"category_{number}", values=VALUES)
        if number % 5 in {0, 3}
        else Number(name=f"number_{number}", minimum=0, maximum=1_000)
        for number in range(width)
    ]
    label = Label(name="left", positive="yes", negative="no")
    return Contract(
        contract=1,
        name=f"width-{width}",
        key=Key(name="account"),
        time=Time(name="event_ts"),
        label=label,
        features=tuple(features),
        segments=("category_0",),
    )


def records(codec: Codec, count: int) -> Iterator[bytes]:
    """Yield random records, always the same."""
    random = Random(1)
    for number in range(count):
        values = {
            feature.name: random.choice(feature.values)
            if isinstance(feature, Category)
            else round(random.random() * 1_000, 2)
            for feature in codec.contract.features
        }
        yield json.dumps({"account": f"{number:07}", **values, "event_ts": TIME}, separators=(",", ":")).encode()


def _stages(codec: Codec, values: list[bytes]) -> Iterator[float]:
    """Yield the nanoseconds per record of each stage."""
    events, scorer = [*map(codec.events.decode, values)], _scorer(codec, values)
    probabilities = scorer.score(events)

    def answer() -> list[object]:
        return [*codec.build_predictions(events, probabilities, threshold=0.5, processed_at=TIME, model_version="v")]

    predictions = answer()
    yield _best(lambda: [*map(codec.events.decode, values)])
    yield _best(lambda: scorer.score(events))
    yield _best(answer)
    yield _best(lambda: [*map(encode_prediction, predictions)])


def _scorer(codec: Codec, values: list[bytes]) -> OnnxScorer:
    events = [*map(codec.events.decode, values[:FITTED])]
    labels = np.arange(FITTED) % 3 == 0
    pipeline = linear(codec).fit(frame(codec.events, events), labels)
    return load_onnx(convert(pipeline, codec), codec, version="v", threshold=0.5)


def _best(call: Callable[[], object]) -> float:
    return lowest_cpu_time(call, SIZE, ROUNDS)


if __name__ == "__main__":
    main()
