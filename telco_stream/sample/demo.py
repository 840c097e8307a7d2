"""Demo: produce, consume, report and verify in one process, with an embedded broker."""

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from telco_stream.checks.verify import verify
from telco_stream.consume.counters import ConsumeResult
from telco_stream.consume.run import ConsumeOptions, run_consume
from telco_stream.csv.validation import CsvFormat
from telco_stream.dlq.letters import LetterFilter, Letters, text_of
from telco_stream.dlq.topics import DeadLetterTopic
from telco_stream.errors import UsageError
from telco_stream.kafka.clients import Clients, embedded_broker
from telco_stream.kafka.cluster import Cluster
from telco_stream.kafka.sink import Sink
from telco_stream.messages.record import Message
from telco_stream.model.scorer import Scorer
from telco_stream.model.serving import Models, ServingModels
from telco_stream.produce.results import ProduceResult
from telco_stream.produce.run import ProduceOptions, run_produce
from telco_stream.report.analytics import Summary
from telco_stream.report.predictions import ReportOptions
from telco_stream.report.run import run_report
from telco_stream.runtime.signals import Stop, Stopped
from telco_stream.sample import write_sample
from telco_stream.settings import ProducerSettings, Settings

#: Number of the highest probabilities that the report lists.
_TOP_K = 5
#: Rows and seed of the sample, as in the bundled file.
_ROWS, _SEED = 1_000, 7


@dataclass(frozen=True, slots=True)
class UnscoredRecord:
    """A record that became a dead letter, and why."""

    key: str
    error_type: str
    error_message: str


@dataclass(frozen=True, slots=True)
class Answers:
    """Number of inputs and of their answers, and the verdict on them."""

    inputs: int
    predicted: int
    dead_lettered: int
    verdict: str


@dataclass(frozen=True, slots=True)
class DemoResult:
    """Results of the steps."""

    produce: ProduceResult
    consume: ConsumeResult
    dead_letters: tuple[UnscoredRecord, ...]
    report: Summary
    verify: Answers


def run_demo(scorer: Scorer, *, stop: Stop, say: Callable[[str], None], show: Callable[[object], None]) -> DemoResult:
    """Produce a sample of the model's contract and five broken records, consume them, report and verify.

    Calls `say` before each step, and `show` with the results. Raises `Stopped` if a stop is requested before the end.
    """
    topics, contract = Settings().topics, scorer.codec.contract
    with _temporary_folder() as folder, embedded_broker(topics.raw, topics.predictions, topics.deadletter) as address:
        sample, checkpoint = (Path(folder) / name for name in ("sample.csv", "producer.json"))
        producer = ProducerSettings(data_path=str(sample), checkpoint_file=str(checkpoint))
        clients = Clients(Settings(bootstrap_servers=address, producer=producer))
        say(f"1. Start a broker inside this process, at {address}.")
        say(f"2. Produce: the sample {contract.plural} and five broken records.")
        write_sample(sample, _ROWS, _SEED, lambda _rows: None, contract)
        options = ProduceOptions("batch", "at-least-once", csv_format=CsvFormat(contract))
        produced = run_produce(clients, options, stop=stop, observer=_NoObserver())
        _check(stop)
        _send_broken_records(clients, topics.raw, contract.key.name, stop)
        say("3. Consume: each record becomes a prediction, or a dead letter with the reason.")
        say("")
        models, as_batch = Models(ServingModels(scorer)), ConsumeOptions("batch", "at-least-once")
        consumed = run_consume(Cluster(clients, stop), models, as_batch)
        _check(stop)
        letters = _unscored_records(clients, stop)
        show(letters)
        say("")
        say("4. Report: summarize the predictions.")
        report = run_report(clients, ReportOptions(_TOP_K, contract=contract), stop=stop).summary
        show(report)
        say("")
        say("5. Verify: count the answers to each input.")
        answers = _answers(clients, stop)
        show(answers)
    # The report has the same tables, from the topic.
    return DemoResult(produced, replace(consumed, analytics=None), letters, report, answers)


def _check(stop: Stop) -> None:
    """Raise `Stopped` if a stop was requested: the results of the steps are incomplete then."""
    if stop.requested:
        raise Stopped


def _unscored_records(clients: Clients, stop: Stop) -> tuple[UnscoredRecord, ...]:
    """Return the dead letters, ordered by key."""
    records = DeadLetterTopic(Cluster(clients, stop)).records()
    letters = [
        UnscoredRecord(text_of(letter.record.key()) or "", letter.content.error_type, letter.content.error_message)
        for letter in Letters(records, LetterFilter())
    ]
    return tuple(sorted(letters, key=lambda letter: letter.key))


def _answers(clients: Clients, stop: Stop) -> Answers:
    result = verify(clients, clients.settings.consumer.group_id, now=time.time(), stop=stop)
    return Answers(result.inputs, result.predicted, result.dead_lettered, result.verdict)


def _temporary_folder() -> "tempfile.TemporaryDirectory[str]":
    try:
        return tempfile.TemporaryDirectory()
    except OSError as error:
        raise UsageError("Cannot create a temporary folder: set TMPDIR to a folder that can be written") from error


def _broken_records(key_name: str) -> list[Message]:
    """Return invalid records; each becomes a dead letter."""
    values = [b"not JSON at all", f'{{"{key_name}": "broken-2"}}'.encode(), b"\xff\xfe\x00", b"[]", b""]
    return [(f"broken-{number}", value, []) for number, value in enumerate(values, 1)]


def _send_broken_records(clients: Clients, topic: str, key_name: str, stop: Stop) -> None:
    sink = Sink(clients.producer(), stop)
    sink.send(topic, _broken_records(key_name))
    sink.flush()


class _NoObserver:
    """Observer of `produce` that ignores every event."""

    def attach(self, counters: object) -> None:
        """Ignore the counters."""

    def resumed(self, rows: int) -> None:
        """Ignore the first row."""

    def advance(self, rows: int) -> None:
        """Ignore delivered rows."""
