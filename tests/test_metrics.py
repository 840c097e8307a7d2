"""Metrics: what they count, and that the docs list each of them."""

import json
import math
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, generate_latest

from telco_stream.contract.events import Event
from telco_stream.errors import ErrorType
from telco_stream.messages.prediction import Prediction
from telco_stream.messages.record import Message, Rejection
from telco_stream.model.serving import Models, ServingModels
from telco_stream.monitoring.consume_metrics import ConsumeMetrics, SampledHistogram
from telco_stream.monitoring.drift import DriftMonitor
from telco_stream.monitoring.drift_metrics import DriftMetrics
from telco_stream.monitoring.health import Heartbeat
from telco_stream.monitoring.metrics import ProduceMetrics, RunState, Statistics, new_registry
from telco_stream.monitoring.protocols import BatchTimings
from telco_stream.scoring import Outcome
from telco_stream.settings import DriftSettings
from tests.support.scraping import Section, documented, families, series
from tests.support.telco import CODEC, prediction_of

LINUX = sys.platform == "linux"


class HalfScorer:
    """Scorer that gives every customer a probability of 0.5."""

    version, threshold, engine, codec, explainer = "7", 0.5, "onnx", CODEC, None

    def score(self, customers: Sequence[Event]) -> list[float]:
        return [0.5 for _ in customers]


MODELS = Models(ServingModels(HalfScorer()))


@pytest.mark.skipif(not LINUX, reason="process metrics exist on Linux only")
@pytest.mark.parametrize("section", ["consume", "produce"])
def test_docs_list_every_metric_with_its_type(section: Section) -> None:
    exported = families(generate_latest(full_registry(section)).decode())
    listed = documented(section) | documented("both")
    assert listed.keys() == exported.keys()
    typed = {name: kind for name, kind in listed.items() if kind}
    assert typed == {name: exported[name] for name in typed}


@pytest.mark.parametrize("section", ["consume", "produce"])
def test_metric_names_end_in_base_units(section: Section) -> None:
    units = ("_total", "_seconds", "_records", "_info", "_per_second", "_assigned", "_probability")
    units_of_drift = ("_psi", "_psi_limit", "_ratio", "_windows", "_quality")
    exported = families(generate_latest(full_registry(section)).decode())
    own = [name for name in exported if name.startswith("telco_stream_")]
    assert [name for name in own if not name.endswith(units + units_of_drift)] == []


def test_consume_metrics_count_a_committed_batch() -> None:
    registry = CollectorRegistry()
    ConsumeMetrics(registry, MODELS).on_committed(outcome(), BatchTimings(0.2, 0.03, [0.5, 2.0]))
    exported = series(generate_latest(registry).decode())
    assert exported["telco_stream_records_consumed_total"] == 5
    assert exported['telco_stream_predictions_total{prediction="Yes"}'] == 1
    assert exported['telco_stream_predictions_total{prediction="No"}'] == 2
    assert exported['telco_stream_dead_letters_total{error_type="json"}'] == 2
    assert exported['telco_stream_dead_letters_total{error_type="scoring"}'] == 0
    assert exported["telco_stream_batch_size_records_sum"] == 5
    assert exported["telco_stream_processing_seconds_sum"] == 0.2
    assert exported["telco_stream_commit_seconds_sum"] == 0.03
    assert exported["telco_stream_end_to_end_seconds_count"] == 5
    assert exported["telco_stream_end_to_end_seconds_sum"] == pytest.approx(3 * 0.5 + 2 * 2.0)
    assert exported["telco_stream_churn_probability_count"] == 3
    assert exported["telco_stream_churn_probability_sum"] == pytest.approx(0.9 + 0.1 + 0.2)
    assert exported["telco_stream_last_commit_timestamp_seconds"] == pytest.approx(time.time(), abs=60)


def test_timed_scorer_measures_each_call() -> None:
    registry = CollectorRegistry()
    scorer = ConsumeMetrics(registry, MODELS).timed(HalfScorer())
    assert (scorer.version, scorer.threshold, scorer.engine) == ("7", 0.5, "onnx")
    assert scorer.score([]) == []
    assert series(generate_latest(registry).decode())["telco_stream_scoring_seconds_count"] == 1


def test_model_metrics_export_version_engine_and_role() -> None:
    registry = CollectorRegistry()
    ConsumeMetrics(registry, Models(ServingModels(HalfScorer(), created_at="2023-11-14T22:13:20Z")))
    exported = series(generate_latest(registry).decode())
    assert exported['telco_stream_model_info{engine="onnx",role="serving",version="7"}'] == 1
    assert exported["telco_stream_model_created_timestamp_seconds"] == 1_700_000_000


@given(st.lists(st.floats(0, 100), min_size=1, max_size=70), st.integers(0, 10_000))
def test_sampled_histogram_counts_the_whole_batch(samples: list[float], more: int) -> None:
    registry, population = CollectorRegistry(), len(samples) + more
    SampledHistogram("h", "x", (1, 10), registry).add(samples, population)
    exported = series(generate_latest(registry).decode())
    assert exported["h_count"] == exported['h_bucket{le="+Inf"}'] == population
    assert min(samples) * population <= exported["h_sum"] * (1 + 1e-9) + 1e-9
    assert exported["h_sum"] <= max(samples) * population * (1 + 1e-9) + 1e-9
    assert (exported['h_bucket{le="1.0"}'] > 0) == (min(samples) <= 1)


def test_sampled_histogram_includes_its_upper_bounds() -> None:
    registry = CollectorRegistry()
    SampledHistogram("h", "x", (1, 10), registry).add([1.0, 10.0], 2)
    exported = series(generate_latest(registry).decode())
    assert [exported[f'h_bucket{{le="{bound}"}}'] for bound in ("1.0", "10.0", "+Inf")] == [1, 2, 2]


def test_sampled_histogram_is_unchanged_when_no_samples() -> None:
    registry = CollectorRegistry()
    SampledHistogram("h", "x", (1,), registry).add([], 5)
    assert series(generate_latest(registry).decode())["h_count"] == 0


def test_statistics_condense_what_the_client_reports() -> None:
    statistics = Statistics()
    statistics.update(client("a", txerrs=2, req_timeouts=1, rtt=2_000, fetched=7))
    assert statistics.request_errors == {"transmit": 2, "receive": 0, "timeout": 1}
    assert (statistics.newest.round_trip_seconds, statistics.newest.queued) == (0.002, 7)


def test_statistics_keep_counts_when_a_client_is_replaced() -> None:
    """A fenced producer is replaced by one whose counters start at 0; the exported counters must never fall."""
    statistics = Statistics()
    statistics.update(client("a", txerrs=2))
    statistics.update(client("a", txerrs=3))
    statistics.update(client("b", txerrs=1, rtt=5_000))
    assert statistics.request_errors["transmit"] == 4
    assert statistics.newest.round_trip_seconds == 0.005


@pytest.mark.parametrize(
    "text", ["", "no JSON", "[]", "{}", '{"name":"a","brokers":{"b":{}}}', '{"name":1,"brokers":[]}']
)
def test_statistics_ignore_unreadable_text(text: str) -> None:
    statistics = Statistics()
    statistics.update(text)
    assert statistics.request_errors == {"transmit": 0, "receive": 0, "timeout": 0}


@dataclass
class Clock:
    """Clock that the test sets."""

    now: float = 0.0

    def __call__(self) -> float:
        return self.now


def test_produce_rate_covers_the_last_ten_seconds() -> None:
    clock = Clock()
    metrics = ProduceMetrics(100.0, CollectorRegistry(), clock)
    assert metrics.rate() == 0
    rates = []
    for _ in range(40):
        clock.now += 0.5
        metrics.advance(50 if clock.now <= 10 else 5)
        rates.append(metrics.rate())
    assert rates[3] == pytest.approx(100)
    assert rates[19] == pytest.approx(100)
    assert rates[-1] == pytest.approx(10)


def test_produce_rate_is_0_when_nothing_is_confirmed() -> None:
    clock = Clock()
    metrics = ProduceMetrics(100.0, CollectorRegistry(), clock)
    clock.now = 1.0
    metrics.advance(100)
    clock.now = 60.0
    assert metrics.rate() == 0


def test_registry_reads_the_run_state_at_each_scrape() -> None:
    state = RunState(Heartbeat(1.0), client_errors=Counter({"_TRANSPORT": 3}), transactions=lambda: {"aborted": 2})
    registry = new_registry(state)
    ProduceMetrics(5.0, registry).failed = lambda: 4
    exported = series(generate_latest(registry).decode())
    assert exported["telco_stream_producer_records_failed_total"] == 4
    assert exported["telco_stream_producer_target_records_per_second"] == 5
    assert exported['telco_stream_transactions_total{outcome="aborted"}'] == 2
    assert exported['telco_stream_transactions_total{outcome="committed"}'] == 0
    assert exported['telco_stream_client_errors_total{error="_TRANSPORT"}'] == 3
    assert exported['telco_stream_client_errors_total{error="_ALL_BROKERS_DOWN"}'] == 0


def test_consume_metrics_cost_under_a_hundredth_of_a_batch() -> None:
    """5,000 records take at least 60 ms in the loop; the limit leaves room for busy machines."""
    many = Outcome([MESSAGE] * 5_000, [], [answer("No", 0.2)] * 5_000, [], {0: 5_000}, "Yes", 0, 0)
    metrics = ConsumeMetrics(CollectorRegistry(), MODELS)
    assert fastest(lambda: metrics.on_committed(many, BatchTimings(0.05, 0.01, [0.5] * 64))) < 0.0012


MESSAGE: Message = ("a", b"", [])


def answer(prediction: Any, probability: float) -> Prediction:
    return prediction_of("a", probability, prediction, "", "", "7", "One year", "DSL")


def outcome() -> Outcome:
    """Return a batch of one churner, two customers who stay and two records that are not JSON."""
    rejected = [Rejection("raw", 0, 0, ErrorType.JSON, "malformed")] * 2
    answers = [answer("Yes", 0.9), answer("No", 0.1), answer("No", 0.2)]
    return Outcome([MESSAGE] * 3, [MESSAGE] * 2, answers, rejected, {0: 5}, "Yes", 2, 2)


def full_registry(section: Section) -> CollectorRegistry:
    """Return a registry with all metrics of a command."""
    registry = new_registry(RunState(Heartbeat(1.0)))
    if section == "produce":
        ProduceMetrics(1.0, registry)
    else:
        ConsumeMetrics(registry, MODELS)
        DriftMetrics(registry, DriftMonitor(MODELS, DriftSettings()))
    return registry


def client(name: str, *, txerrs: int = 0, req_timeouts: int = 0, rtt: int = 0, fetched: int = 0) -> str:
    """Return librdkafka's statistics, limited to the fields that are read; partitions of a group share one queue."""
    broker = {"txerrs": txerrs, "rxerrs": 0, "req_timeouts": req_timeouts, "rtt": {"avg": rtt}}
    parts = {str(number): {"fetchq_cnt": fetched} for number in range(3)}
    topics = {"raw": {"partitions": parts}}
    return json.dumps({"name": name, "msg_cnt": 0, "brokers": {"one": broker}, "topics": topics})


def fastest(call: Callable[[], object]) -> float:
    """Return the seconds of the fastest of 20 calls."""
    best = math.inf
    for _ in range(20):
        started = time.perf_counter()
        call()
        best = min(best, time.perf_counter() - started)
    return best
