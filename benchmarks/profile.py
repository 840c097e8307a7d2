"""Nanoseconds per record of each stage, on a real Kafka: `python -m benchmarks.profile`.

CPU time of the working thread, without the client's threads, so that a busy machine matters less; the best of several
rounds of one batch of 5,000 records. Garbage collection is reduced, as in `consume`.
"""

import csv
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from benchmarks.broker import Topics, running_broker
from benchmarks.cpu_time import cpu_time, lowest_cpu_time
from benchmarks.processes import cli, run
from benchmarks.session import MODEL, BenchSession, Counts
from telco_stream import scoring as core
from telco_stream.csv.validation import RowError, read_header, validate_rows
from telco_stream.kafka.clients import Clients
from telco_stream.kafka.cluster import Cluster
from telco_stream.kafka.sink import Sink
from telco_stream.kafka.source import KafkaSource, Subscription
from telco_stream.kafka.starts import TopicToRead
from telco_stream.kafka.transactions import Transactions
from telco_stream.messages.headers import SourceHeaders
from telco_stream.messages.prediction import Prediction, encode_prediction
from telco_stream.messages.record import Message
from telco_stream.model.artifact import load_scorer
from telco_stream.model.features import feature_table
from telco_stream.model.onnx_engine import OnnxScorer
from telco_stream.runtime.clock import utc_timestamp
from telco_stream.runtime.gc_tuning import reduced_gc
from telco_stream.runtime.signals import Stop
from tests.support.csv_chunks import read_chunks
from tests.support.telco import FORMAT, encode_row

SIZE = 5_000
ROUNDS = 30
BATCHES = 24
#: A topic ID for the `source.topic.id` header.
TOPIC_ID = "J8qXRwI-Q3SPDXpBcbgeBg"

Stages = Iterator[tuple[str, float]]


def main() -> None:
    """Print the table."""
    with running_broker() as bootstrap, tempfile.TemporaryDirectory() as folder, reduced_gc():
        session = BenchSession(bootstrap, Topics(bootstrap), Path(folder), Counts.quick(1))
        command = cli("sample", "--rows", str(SIZE * BATCHES), "--seed", "7", "--out", str(session.csv), "--quiet")
        run(command, {}, session.folder)
        with session.topics.temporary_topics("raw", "out", "letters") as (raw, out, letters):
            _show("produce, ns a row", _reading(session.csv))
            _show("", _sending(session, raw))
            _show("consume, ns a record", _consuming(session, raw, out, letters))


def _show(title: str, stages: Stages) -> None:
    if title:
        print(f"\n{title}")
    for name, nanoseconds in stages:
        print(f"{name:60} {nanoseconds:8,.0f}")


def _reading(path: Path) -> Stages:
    lines = path.read_bytes().splitlines(keepends=True)[: SIZE + 1]
    texts = list(map(bytes.decode, lines))
    header, *fields = csv.reader(texts)
    layout = read_header(header, FORMAT)
    assert not isinstance(layout, RowError)
    chunks = [fields[start : start + 1_000] for start in range(0, SIZE, 1_000)]
    rows = next(read_chunks(path, SIZE, FORMAT))
    yield "lines and their decoding", _best(lambda: [*map(bytes.decode, b"".join(lines).splitlines(keepends=True))])
    yield "csv.reader", _best(lambda: list(csv.reader(texts)))
    yield "check and typed rows", _best(lambda: [validate_rows(layout, chunk) for chunk in chunks])
    yield "all three", _best(lambda: next(read_chunks(path, SIZE, FORMAT)))
    yield "encode", _best(lambda: [encode_row(row, "2026-01-01T00:00:00.000Z") for row in rows])


def _sending(session: BenchSession, raw: str) -> Stages:
    """Measure sending, which also fills the topic."""
    sink, spent = Sink(Clients(session.settings()).producer(), Stop()), []
    for rows in islice(read_chunks(session.csv, SIZE, FORMAT), BATCHES):
        messages: list[Message] = [(row.key, encode_row(row, utc_timestamp()), []) for row in rows]
        spent.append(cpu_time(lambda messages=messages: sink.send(raw, messages), SIZE))  # type: ignore[misc]
        sink.flush()
    yield "produce calls", min(spent)


def _consuming(session: BenchSession, raw: str, out: str, letters: str) -> Stages:
    settings = session.settings()
    topics = settings.topics.model_copy(update={"raw": raw, "predictions": out, "deadletter": letters})
    clients, stop, scorer = Clients(settings.model_copy(update={"topics": topics})), Stop(), load_scorer(MODEL, "onnx")
    assert isinstance(scorer, OnnxScorer)
    consumer = clients.consumer(session.topics.unique_name("group"), enable_partition_eof="true")
    source = KafkaSource(consumer, Subscription(TopicToRead(raw, Cluster(clients).ask_offsets)), stop)
    name = session.topics.unique_name("id")
    transactions = Transactions(lambda: clients.producer(name), stop, has_unique_id=True)
    transactions.start()
    polled, sent, committed = list[float](), list[float](), list[float]()
    records: list[Any] = []
    while len(polled) < BATCHES - 3:
        time.sleep(0.2)  # fills the client's queue, so that batches are full
        started = time.thread_time_ns()
        batch = source.poll_batch(SIZE, 0.5)
        spent = time.thread_time_ns() - started
        if len(batch.records) < SIZE:
            continue
        records = batch.records
        outcome = core.process(records, scorer, processed_at=utc_timestamp(), limits=core.Limits(), topic_id=TOPIC_ID)
        transactions.begin()
        polled.append(spent / SIZE)
        sent.append(cpu_time(lambda outcome=outcome: transactions.send(out, outcome.prediction_messages), SIZE))  # type: ignore[misc]
        offsets, group = source.offsets.advance(outcome.next_offsets, 0), batch.group_metadata
        committed.append(cpu_time(lambda offsets=offsets, group=group: transactions.commit(offsets, group), SIZE))  # type: ignore[misc]
    yield "poll_batch: client calls and the source's book-keeping", min(polled)
    yield "  book-keeping", _best(lambda: source._receive(records))
    yield from _processing(records, scorer)
    yield "produce calls, with two headers", min(sent)
    yield "offsets and commit", min(committed)
    source.close()


def _processing(records: list[Any], scorer: OnnxScorer) -> Stages:
    codec = scorer.codec
    indices, decoded, _ = core.decode_events(records, codec.events)
    values, events = [record.value() for record in records], list(decoded)
    table = feature_table(codec.events, events)
    arrays = {node.name: node.read(table) for node in scorer.inputs}
    (raw,) = scorer.session.run(["probabilities"], arrays)
    probabilities, limits = scorer.score(events), core.Limits()
    sources = SourceHeaders(TOPIC_ID)

    def build_predictions() -> list[Prediction]:
        return codec.build_predictions(
            events, probabilities, threshold=scorer.threshold, processed_at=utc_timestamp(), model_version="v"
        )

    predictions = build_predictions()
    yield "decode and check by the contract", _best(lambda: [*map(codec.events.decode, values)])
    yield "decode, total", _best(lambda: core.decode_events(records, codec.events))
    yield "features as a table", _best(lambda: feature_table(codec.events, events))
    yield "ONNX session", _best(lambda: scorer.session.run(["probabilities"], arrays))
    yield "probabilities as numbers", _best(raw[:, 1].tolist)
    yield "score, total", _best(lambda: scorer.score(events))
    yield "encoding of predictions", _best(lambda: [*map(encode_prediction, predictions)])
    yield "headers", _best(lambda: [*map(sources.of, records)])
    yield (
        "answer, total",
        _best(
            lambda: core._encode(
                records, zip(indices, build_predictions(), strict=True), sources, limits.prediction, "customer"
            )
        ),
    )
    yield (
        "scoring.process, total",
        _best(lambda: core.process(records, scorer, processed_at=utc_timestamp(), limits=limits, topic_id=TOPIC_ID)),
    )


def _best(call: Callable[[], object]) -> float:
    return lowest_cpu_time(call, SIZE, ROUNDS)


if __name__ == "__main__":
    main()
