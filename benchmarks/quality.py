"""Time and memory of `quality` on a real Kafka: `python -m benchmarks.quality [COUNT …]`.

For each COUNT (1,000,000), writes as many predictions of different customers over ten weeks, by two model versions, and
an outcome of each. Prints seconds, CPU time and peak memory of a run with the outcomes of the topic, with those of a
file, and with the uplift, and of `outcomes check`.
"""

import json
import sys
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

from confluent_kafka import Producer

from benchmarks.broker import Topics, running_broker
from benchmarks.processes import Run, cli, run

COUNT = 1_000_000
WEEKS = 10
START = datetime(2026, 9, 7, tzinfo=UTC)


def main() -> None:
    """Print the figures of each count."""
    with running_broker() as bootstrap, tempfile.TemporaryDirectory() as folder:
        for count in [int(text) for text in sys.argv[1:]] or [COUNT]:
            _measure(bootstrap, Path(folder), count)


def _measure(bootstrap: str, folder: Path, count: int) -> None:
    file = folder / "outcomes.csv"
    with Topics(bootstrap).temporary_topics("predictions", "outcomes", "letters") as (predictions, outcomes, letters):
        _write(bootstrap, predictions, _predictions(count))
        _write(bootstrap, outcomes, _outcomes(count))
        with file.open("w") as target:
            target.write("customer,outcome,time\n")
            target.writelines(
                f"{value['customerID']},{value['Churn']},{value['event_ts']}\n" for value in _outcomes(count)
            )
        env = {
            "TELCO_STREAM_BOOTSTRAP_SERVERS": bootstrap,
            "TELCO_STREAM_TOPICS__PREDICTIONS": predictions,
            "TELCO_STREAM_TOPICS__OUTCOMES": outcomes,
            "TELCO_STREAM_TOPICS__DEADLETTER": letters,
            "TELCO_STREAM_CONSUMER__GROUP_ID": outcomes,
        }
        for name, options in (("topic", []), ("file", ["--outcomes", str(file)]), ("topic, uplift", ["--uplift"])):
            done = run(cli("quality", "--quiet", "--output", "json", *options), env, folder)
            _print(count, name, done)
        _print(count, "check", run(cli("outcomes", "check", "--quiet", "--output", "json"), env, folder))


def _print(count: int, name: str, done: Run) -> None:
    print(
        f"{count:11,} outcomes, {name:13} {done.wall:6.1f} s, {done.cpu:6.1f} s CPU, {done.rss:6,.0f} MB",
        flush=True,
    )


def _predictions(count: int) -> Iterator[dict[str, object]]:
    random = Random(1)
    for number in range(count):
        probability = random.betavariate(1.2, 2.5)
        time = _time(number / count * WEEKS)
        value = {
            "customerID": f"{number:07}-BENCH",
            "churn_probability": probability,
            "prediction": "Yes" if probability >= 0.3 else "No",
            "event_ts": time,
            "processed_ts": time,
            "model_version": f"v{number * 2 // count}",
            "Contract": "One year",
            "InternetService": "DSL",
        }
        yield value | ({"control": True} if number % 20 == 0 else {})


def _outcomes(count: int) -> Iterator[dict[str, object]]:
    """Yield an outcome of each prediction a week later, in another order."""
    random = Random(2)
    numbers = list(range(count))
    random.shuffle(numbers)
    for number in numbers:
        label = "Yes" if random.random() < 0.3 else "No"
        time = _time(number / count * WEEKS + 1)
        yield {"customerID": f"{number:07}-BENCH", "Churn": label, "event_ts": time}


def _time(weeks: float) -> str:
    return (START + timedelta(weeks=weeks)).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _write(bootstrap: str, topic: str, values: Iterator[dict[str, object]]) -> None:
    producer = Producer({"bootstrap.servers": bootstrap, "compression.type": "lz4", "linger.ms": 50, "log_level": 0})
    for number, value in enumerate(values):
        while True:
            try:
                producer.produce(topic, json.dumps(value), key=str(value["customerID"]))
            except BufferError:
                producer.poll(0.1)
            else:
                break
        if number % 10_000 == 0:
            producer.poll(0)
    if left := producer.flush(120):
        raise RuntimeError(f"{left} messages were not delivered")


if __name__ == "__main__":
    main()
