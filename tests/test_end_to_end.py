"""The pipeline on a real Kafka through the command line: each input is answered once and correctly."""

import csv
import json
import random
import string
from collections import Counter
from typing import Any

import joblib
import pandas as pd
import pytest
from confluent_kafka.admin import AdminClient

from telco_stream import errors
from telco_stream.consume.run import ConsumeOptions
from telco_stream.messages.dead_letter import decode_dead_letter
from tests.support.cli import ROOT
from tests.support.consumer_harness import RunningConsumer, answers, coordinates, customers, settings_of, sources
from tests.support.in_process import run_in_process
from tests.support.records import POISON, STRANGE, good
from tests.support.topics import Outgoing, Topics, configure_topic, read_topic, send, topic_id
from tests.support.waiting import wait_until

SAMPLE = ROOT / "data/sample_customers.csv"
NUMBERS = ["SeniorCitizen", "tenure", "MonthlyCharges", "TotalCharges"]


def consume(kafka: str, topics: Topics, *args: str, **env: str) -> dict[str, Any]:
    """Run `consume` and return its result."""
    run = run_in_process("consume", "--output", "json", "--quiet", *args, env=topics.env(kafka) | env)
    assert run.code == 0, run.err
    result: dict[str, Any] = json.loads(run.out)
    return result


@pytest.mark.parametrize("delivery", ["exactly-once", "at-least-once"])
def test_consume_scores_the_sample_once_as_the_pipeline_does(kafka: str, topics: Topics, delivery: str) -> None:
    sent = run_in_process("produce", "--mode", "batch", "--output", "json", "-q", env=topics.env(kafka))
    assert sent.code == 0, sent.err
    assert json.loads(sent.out)["sent"] == 1000
    result = consume(kafka, topics, "--mode", "batch", "--engine", "sklearn", "--delivery", delivery)
    assert (result["consumed"], result["predicted"], result["stopped_by"]) == (1000, 1000, "end")
    assert result["analytics"]["total"] == 1000
    predictions = read_topic(kafka, topics.predictions)
    assert sources(predictions) == coordinates(read_topic(kafka, topics.raw))
    assert read_topic(kafka, topics.deadletter) == []
    expected = probabilities()
    assert Counter(record.json()["customerID"] for record in predictions) == Counter(expected.keys())
    for record in predictions:
        answer = record.json()
        assert record.key == answer["customerID"].encode()
        assert answer["churn_probability"] == pytest.approx(expected[answer["customerID"]], abs=1e-9)


def test_consume_dead_letters_poison_and_scores_odd_records(kafka: str, topics: Topics) -> None:
    """Each letter has the right error type and the original bytes."""
    poison: list[Outgoing] = [(f"p{number}", case[1], []) for number, case in enumerate(POISON)]
    strange: list[Outgoing] = [(None, value, [("traceparent", b"00-1")]) for _, value in STRANGE]
    send(kafka, topics.raw, [*poison, *customers(range(50)), *strange])
    result = consume(kafka, topics, "--mode", "batch")
    assert (result["dead_lettered"], result["predicted"]) == (len(POISON), 50 + len(STRANGE))
    assert sources(answers(kafka, topics)) == coordinates(read_topic(kafka, topics.raw))
    letters = {record.key: decode_dead_letter(record.value or b"") for record in read_topic(kafka, topics.deadletter)}
    for number, (name, value, error_type, _, message) in enumerate(POISON):
        letter = letters[f"p{number}".encode()]
        assert (letter.error_type, letter.original) == (error_type, value), name
        assert message in letter.error_message, name
    odd = [record for record in read_topic(kafka, topics.predictions) if record.header("traceparent")]
    assert len(odd) == len(STRANGE)
    assert all(record.key == record.json()["customerID"].encode() for record in odd)


def test_commands_use_the_topic_of_the_option(kafka: str, topics: Topics) -> None:
    """The setting names another topic, which no command touches. Limits and batch sizes have one name."""
    env = topics.env(kafka) | {"TELCO_STREAM_TOPICS__RAW": f"{topics.raw}-other"}
    results = {}
    for command in (
        "produce --mode batch --limit 40 --batch-size 10",
        "consume --mode batch --limit 25 --batch-size 10",
        "consume --mode streaming --limit 5 --batch-size 2",
        "verify",
        "status",
        "dlq replay --dry-run",
    ):
        done = run_in_process(*command.split(), "--topic", topics.raw, "--output", "json", env=env)
        assert done.code == 0, done.err
        results[command] = json.loads(done.out)
    produced, windows, stream, verified, status, replayed = results.values()
    assert (produced["sent"], produced["topic"]) == (40, topics.raw)
    assert (windows["consumed"], windows["batches"]) == (25, 3)
    assert (stream["consumed"], stream["batches"]) == (5, 3)
    assert (verified["inputs"], verified["predicted"]) == (30, 30)
    assert (status["topics"][0]["topic"], status["lag"], replayed["selected"]) == (topics.raw, 10, 0)


def test_consume_continues_after_max_messages(kafka: str, topics: Topics) -> None:
    send(kafka, topics.raw, customers(range(40)))
    for _ in range(2):
        assert consume(kafka, topics, "--max-messages", "10")["stopped_by"] == "max-messages"
    answered = sources(read_topic(kafka, topics.predictions))
    assert len(answered) == len(set(answered)) == 20


@pytest.mark.parametrize("protocol", ["classic", "consumer"])
def test_consume_answers_once_when_members_come_and_go(kafka: str, topics: Topics, protocol: str) -> None:
    """Three members join and leave while records arrive."""
    settings = settings_of(kafka, topics, {"group.protocol": protocol}, max_poll_records=50)
    options = ConsumeOptions("streaming", "exactly-once")
    members = []
    for _ in range(3):
        members.append(RunningConsumer(settings, options))
        feed(kafka, topics, members[-1])
    for member in members:
        send(kafka, topics.raw, customers(range(500)))
        member.end()
    RunningConsumer(settings, ConsumeOptions("batch", "exactly-once")).result()
    assert sources(read_topic(kafka, topics.predictions)) == coordinates(read_topic(kafka, topics.raw))


def test_consume_answers_once_when_two_batch_runs_share_a_group(kafka: str, topics: Topics) -> None:
    """Also while partitions are reassigned."""
    send(kafka, topics.raw, customers(range(3_000)))
    settings = settings_of(kafka, topics, window_size=20)
    runs = [RunningConsumer(settings, ConsumeOptions("batch", "exactly-once")) for _ in range(2)]
    results = [run.result(60) for run in runs]
    assert [result.stopped_by for result in results] == ["end", "end"]
    assert sources(read_topic(kafka, topics.predictions)) == coordinates(read_topic(kafka, topics.raw))


def test_consume_truncates_letters_when_the_topic_limit_is_small(kafka: str, topics: Topics) -> None:
    """`consume` reads the limit of the topic; a larger letter would stop it forever."""
    for name in (topics.deadletter, topics.predictions):
        configure_topic(kafka, name, "max.message.bytes", "20000")
    big = good(customerID="x" * 30_000)
    send(kafka, topics.raw, [("p", b"x" * 900_000, []), ("big", big, []), *customers(range(300))])
    assert consume(kafka, topics, "--mode", "batch")["consumed"] == 302
    letters = {record.key: decode_dead_letter(record.value or b"") for record in read_topic(kafka, topics.deadletter)}
    assert letters[b"p"].truncated
    assert letters[b"p"].original_bytes == 900_000
    assert letters[b"big"].error_type == "output_too_large"
    assert sources(answers(kafka, topics)) == coordinates(read_topic(kafka, topics.raw))


@pytest.mark.parametrize("delivery", ["exactly-once", "at-least-once"])
def test_consume_sends_batches_that_the_topic_accepts_when_they_hardly_compress(
    kafka: str, topics: Topics, delivery: str
) -> None:
    configure_topic(kafka, topics.predictions, "max.message.bytes", "20000")
    keys = random_texts(300)
    send(kafka, topics.raw, [(key, good(customerID=key), []) for key in keys])
    assert consume(kafka, topics, "--mode", "batch", "--delivery", delivery)["predicted"] == 300


@pytest.mark.parametrize("delivery", ["exactly-once", "at-least-once"])
def test_consume_sends_letters_that_the_topic_accepts_when_they_hardly_compress(
    kafka: str, topics: Topics, delivery: str
) -> None:
    """The topic of predictions accepts larger batches than that of dead letters."""
    configure_topic(kafka, topics.deadletter, "max.message.bytes", "20000")
    originals = random_texts(200)
    send(kafka, topics.raw, [("0", value, []) for text in originals for value in (text.encode(), good())])
    result = consume(kafka, topics, "--mode", "batch", "--delivery", delivery)
    assert (result["predicted"], result["dead_lettered"]) == (200, 200)


def random_texts(number: int) -> list[str]:
    """Draw texts of 1,000 characters."""
    draw = random.Random(0)
    return ["".join(draw.choices(string.printable.strip(), k=1_000)) for _ in range(number)]


@pytest.mark.parametrize("delivery", ["exactly-once", "at-least-once"])
def test_consume_exits_3_when_the_predictions_topic_is_deleted(kafka: str, topics: Topics, delivery: str) -> None:
    """Instead of retrying forever."""
    send(kafka, topics.raw, customers(range(3)))
    settings = settings_of(kafka, topics, {"transaction.timeout.ms": "3000"})
    running = RunningConsumer(settings, ConsumeOptions("streaming", delivery))  # type: ignore[arg-type]
    running.wait_for(3)
    admin = AdminClient({"bootstrap.servers": kafka})
    admin.delete_topics([topics.predictions])[topics.predictions].result(10)
    # Until then, the broker may still store an answer.
    wait_until(lambda: topics.predictions not in admin.list_topics().topics, 10, "the end of the topic")
    send(kafka, topics.raw, customers(range(3, 6)))
    with pytest.raises(errors.KafkaError, match="topics init"):
        running.result(40)


def test_consume_writes_the_topic_id_to_every_answer(kafka: str, topics: Topics) -> None:
    send(kafka, topics.raw, [*customers(range(3)), ("bad", b"bad", [("source.topic.id", b"forged")])])
    assert consume(kafka, topics, "--mode", "batch")["dead_lettered"] == 1
    topic_ids = [record.header("source.topic.id") for record in answers(kafka, topics)]
    assert topic_ids == [topic_id(kafka, topics.raw)] * 4


def test_consume_warns_when_a_topic_is_compacted(kafka: str, topics: Topics) -> None:
    configure_topic(kafka, topics.predictions, "cleanup.policy", "compact")
    run = run_in_process("consume", "--mode", "batch", "--quiet", env=topics.env(kafka))
    assert (run.code, run.err.count("is compacted")) == (0, 1), run.err
    assert topics.predictions in run.err


def feed(kafka: str, topics: Topics, member: RunningConsumer) -> None:
    """Send records until the member has answered some of them."""

    def send_more() -> bool:
        send(kafka, topics.raw, customers(range(200)))
        return member.consumed > 0

    wait_until(send_more, 30, "an answer of the new member")


def probabilities() -> dict[str, float]:
    """Return the probabilities that the scikit-learn pipeline predicts for the sample."""
    frame = pd.read_csv(SAMPLE, na_values=[" ", ""], keep_default_na=False)
    frame[NUMBERS] = frame[NUMBERS].astype(float).fillna(0.0)  # as the contract fills blanks
    pipeline = joblib.load(ROOT / "models/churn/pipeline.joblib")
    positive = list(pipeline.classes_).index(pipeline.classes_[-1])
    predicted = pipeline.predict_proba(frame[list(pipeline.feature_names_in_)])[:, positive]
    with SAMPLE.open(newline="") as file:
        ids = [row["customerID"] for row in csv.DictReader(file)]
    return dict(zip(ids, map(float, predicted), strict=True))
