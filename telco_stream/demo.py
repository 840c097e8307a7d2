"""Demo: produce, consume and report in one process, with an embedded broker."""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from telco_stream.consume.counters import ConsumeResult
from telco_stream.consume.run import ConsumeOptions, run_consume
from telco_stream.errors import UsageError
from telco_stream.kafka.clients import Clients, embedded_broker
from telco_stream.kafka.sink import Sink
from telco_stream.messages.record import Message
from telco_stream.model.scorer import Scorer
from telco_stream.monitoring.protocols import RunObserver
from telco_stream.produce.run import ProduceOptions, ProduceResult, run_produce
from telco_stream.report.analytics import Summary
from telco_stream.report.predictions import ReportOptions
from telco_stream.report.run import run_report
from telco_stream.runtime.signals import Stop
from telco_stream.settings import ProducerSettings, Settings

#: Invalid records; each becomes a dead letter.
_BROKEN_RECORDS: list[Message] = [
    ("broken-1", b"not JSON at all", []),
    ("broken-2", b'{"customerID": "broken-2"}', []),
    ("broken-3", b"\xff\xfe\x00", []),
    ("broken-4", b"[]", []),
    ("broken-5", b"", []),
]


@dataclass(frozen=True, slots=True)
class DemoResult:
    """Results of the three steps."""

    produce: ProduceResult
    consume: ConsumeResult
    report: Summary


def run_demo(
    scorer: Scorer, *, stop: Stop, observer: RunObserver, say: Callable[[str], None], top_k: int = 5
) -> DemoResult:
    """Produce the sample and five broken records, consume them and report; call `say` before each step."""
    topics = Settings().topics
    with _temporary_folder() as folder, embedded_broker(topics.raw, topics.predictions, topics.deadletter) as address:
        producer = ProducerSettings(checkpoint_file=str(Path(folder) / "producer.json"))
        clients = Clients(Settings(bootstrap_servers=address, producer=producer))
        say(f"1. Start a broker inside this process, at {address}.")
        say("2. Produce: the sample customers and five broken records.")
        produced = run_produce(clients, ProduceOptions("batch", "at-least-once"), stop=stop, observer=_NoObserver())
        _send_broken_records(clients, topics.raw, stop)
        say(
            "3. Consume: each record becomes a prediction or a dead letter (at least once: this broker has no fencing)."
        )
        consumed = run_consume(
            clients, scorer, ConsumeOptions("batch", "at-least-once"), stop=stop, observers=[observer]
        )
        say("4. Report: summarize the predictions topic.")
        consumed = replace(consumed, analytics=None)  # the report has the same tables, from the topic
        return DemoResult(produced, consumed, run_report(clients, ReportOptions(top_k), stop=stop).summary)


def _temporary_folder() -> "tempfile.TemporaryDirectory[str]":
    try:
        return tempfile.TemporaryDirectory()
    except OSError as error:
        raise UsageError("Cannot create a temporary folder: set TMPDIR to a folder that can be written") from error


def _send_broken_records(clients: Clients, topic: str, stop: Stop) -> None:
    sink = Sink(clients.producer(), stop)
    sink.send(topic, _BROKEN_RECORDS)
    sink.flush()


class _NoObserver:
    """Observer of `produce` that ignores every event."""

    def attach(self, counters: object) -> None:
        """Ignore the counters."""

    def resumed(self, rows: int) -> None:
        """Ignore the first row."""

    def advance(self, rows: int) -> None:
        """Ignore delivered rows."""
