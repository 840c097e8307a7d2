"""The whole pipeline in one process: sample, produce, consume, report, on the embedded broker."""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from telco_stream.consume.counters import ConsumeResult
from telco_stream.consume.run import ConsumeOptions, run_consume
from telco_stream.errors import UsageError
from telco_stream.kafka.clients import Clients
from telco_stream.kafka.embedded import embedded_broker
from telco_stream.kafka.sink import Sink
from telco_stream.messages.record import Message
from telco_stream.model.scorer import Scorer
from telco_stream.monitoring import RunObserver
from telco_stream.produce.loop import ProduceResult
from telco_stream.produce.run import ProduceOptions, run_produce
from telco_stream.report.analytics import Summary
from telco_stream.report.run import ReportOptions, run_report
from telco_stream.runtime.signals import Stop
from telco_stream.settings import ProducerSettings, Settings

#: Records as no producer should send them: each becomes a dead letter.
_BROKEN: list[Message] = [
    ("broken-1", b"not JSON at all", []),
    ("broken-2", b'{"customerID": "broken-2"}', []),
    ("broken-3", b"\xff\xfe\x00", []),
    ("broken-4", b"[]", []),
    ("broken-5", b"", []),
]


@dataclass(frozen=True, slots=True)
class DemoResult:
    """What the three steps did."""

    produce: ProduceResult
    consume: ConsumeResult
    report: Summary


def run_demo(
    scorer: Scorer, *, stop: Stop, watch: RunObserver, say: Callable[[str], None], top_k: int = 5
) -> DemoResult:
    """Run it; `say` is told of each step."""
    usual = Settings().topics
    with (
        _temporary_folder() as folder,
        embedded_broker(usual.raw, usual.predictions, usual.deadletter) as address,
    ):
        producer = ProducerSettings(checkpoint_file=str(Path(folder) / "producer.json"))
        clients = Clients(Settings(bootstrap_servers=address, producer=producer))
        say(f"1. A broker inside this process listens at {address}.")
        say("2. Produce: the sample's customers, and a few broken records beside them.")
        sent = run_produce(clients, ProduceOptions("batch", "at-least-once"), stop=stop, watch=_NoObserver())
        _send_broken(clients, usual.raw, stop)
        say("3. Consume: each record is scored or becomes a dead letter (at least once: this broker fences nobody).")
        consumed = run_consume(clients, scorer, ConsumeOptions("batch", "at-least-once"), stop=stop, watch=watch)
        say("4. Report: what the predictions topic says.")
        consumed = replace(consumed, analytics=None)  # the report says the same, from the topic
        return DemoResult(sent, consumed, run_report(clients, ReportOptions(top_k), stop=stop).summary)


def _temporary_folder() -> "tempfile.TemporaryDirectory[str]":
    try:
        return tempfile.TemporaryDirectory()
    except OSError as error:
        raise UsageError("No place for temporary files: let TMPDIR name a folder that can be written") from error


def _send_broken(clients: Clients, topic: str, stop: Stop) -> None:
    sink = Sink(clients.producer(), stop)
    sink.send(topic, _BROKEN)
    sink.flush()


class _NoObserver:
    """Looks on without a word."""

    def on(self, writer: object) -> None:
        """Something sends them."""

    def resumed(self, rows: int) -> None:
        """The file is begun."""

    def advance(self, rows: int) -> None:
        """Rows have arrived."""
