"""Bytes that a record takes in each topic, compressed as it was sent: `python -m benchmarks.size`.

Batches as full as under load make the smallest records; a trickle is sent in small batches, which compress less.
"""

import json
import tempfile
from pathlib import Path

from benchmarks.bench import Bench, Counts
from benchmarks.broker import Topics
from benchmarks.processes import cli, run
from tests.support.kafka_container import KafkaContainer

RECORDS = 200_000


def main() -> None:
    """A sample through the pipeline, and what Kafka's own tool says of its topics."""
    with KafkaContainer() as kafka, tempfile.TemporaryDirectory() as folder:
        bench = Bench(kafka.bootstrap, Topics(kafka.bootstrap), Path(folder), Counts.quick(1))
        with bench.topics.standing("raw", "out", "letters") as names:
            env = bench.env(*names, "group")
            for command in (
                cli("sample", "--rows", str(RECORDS), "--seed", "7", "--out", str(bench.csv), "--quiet"),
                cli("produce", "--mode", "batch", "--data-path", str(bench.csv), "--quiet", "--output", "json"),
                cli("consume", "--max-messages", str(RECORDS), "--quiet", "--output", "json"),
            ):
                run(command, env, bench.folder)
            for name in names[:2]:
                print(f"{name.rpartition('-')[2]:4} {_bytes(kafka, name) / RECORDS:6.1f} bytes a record")


def _bytes(kafka: KafkaContainer, topic: str) -> int:
    tool = ["/opt/kafka/bin/kafka-log-dirs.sh", "--bootstrap-server", "localhost:9095", "--describe"]
    told = kafka.exec([*tool, "--topic-list", topic]).output.decode()
    brokers = json.loads(next(line for line in told.splitlines() if line.startswith("{")))["brokers"]
    return sum(one["size"] for broker in brokers for folder in broker["logDirs"] for one in folder["partitions"])


if __name__ == "__main__":
    main()
