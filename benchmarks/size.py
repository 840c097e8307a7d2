"""Compressed bytes per record in each topic: `python -m benchmarks.size`.

Full batches, as under load, compress best; at a low rate the batches are small and compress less.
"""

import json
import tempfile
from pathlib import Path

from benchmarks.broker import Topics
from benchmarks.processes import cli, run
from benchmarks.session import BenchSession, Counts
from tests.support.kafka_container import KafkaContainer

RECORDS = 200_000


def main() -> None:
    """Run a sample through the pipeline and print the sizes that Kafka reports."""
    with KafkaContainer() as kafka, tempfile.TemporaryDirectory() as folder:
        session = BenchSession(kafka.bootstrap, Topics(kafka.bootstrap), Path(folder), Counts.quick(1))
        with session.topics.temporary_topics("raw", "out", "letters") as (raw, out, letters):
            env = session.env(raw, out, letters, "group")
            for command in (
                cli("sample", "--rows", str(RECORDS), "--seed", "7", "--out", str(session.csv), "--quiet"),
                cli("produce", "--mode", "batch", "--data-path", str(session.csv), "--quiet", "--output", "json"),
                cli("consume", "--max-messages", str(RECORDS), "--quiet", "--output", "json"),
            ):
                run(command, env, session.folder)
            for name in (raw, out):
                print(f"{name.rpartition('-')[2]:4} {_bytes(kafka, name) / RECORDS:6.1f} bytes a record")


def _bytes(kafka: KafkaContainer, topic: str) -> int:
    tool = ["/opt/kafka/bin/kafka-log-dirs.sh", "--bootstrap-server", "localhost:9095", "--describe"]
    output = kafka.exec([*tool, "--topic-list", topic]).output.decode()
    brokers = json.loads(next(line for line in output.splitlines() if line.startswith("{")))["brokers"]
    return sum(part["size"] for broker in brokers for folder in broker["logDirs"] for part in folder["partitions"])


if __name__ == "__main__":
    main()
