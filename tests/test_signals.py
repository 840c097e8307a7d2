"""Stop requests: signals, also while no broker answers."""

import signal
import time
from collections.abc import Callable

import pytest

from telco_stream.runtime.signals import Stop, Stopped, stop_on_signals
from tests.support.cli import RunningCli, run_cli
from tests.support.consumer_harness import coordinates, customers, sources
from tests.support.in_process import run_in_process
from tests.support.stopping import SOON, stopped_within
from tests.support.topics import Topics, read_topic, send
from tests.support.waiting import wait_until

Start = Callable[..., RunningCli]


@pytest.mark.parametrize(("delivery", "number"), [("exactly-once", signal.SIGTERM), ("at-least-once", signal.SIGINT)])
def test_signal_ends_the_run_when_the_topic_is_idle(
    kafka: str, topics: Topics, start_cli: Start, delivery: str, number: signal.Signals
) -> None:
    cli = start_cli("consume", "--output", "json", "--delivery", delivery, env=topics.env(kafka))
    cli.wait_for_stderr("assigned partitions")
    assert stopped_within(cli, SOON, number) == 0
    assert '"stopped_by": "signal"' in cli.stdout()


@pytest.mark.parametrize("delivery", ["exactly-once", "at-least-once"])
def test_signal_loses_and_doubles_nothing_when_under_load(
    kafka: str, topics: Topics, start_cli: Start, delivery: str
) -> None:
    """The next run continues after the last committed batch."""
    send(kafka, topics.raw, customers(range(30_000)))
    args = ("consume", "--delivery", delivery, "--output", "json")
    env = topics.env(kafka) | {"TELCO_STREAM_CONSUMER__MAX_POLL_RECORDS": "500"}
    cli = start_cli(*args, env=env)
    cli.wait_for_stderr("assigned partitions")
    wait_until(lambda: read_topic(kafka, topics.predictions), 20, "a first answer")
    assert stopped_within(cli, SOON) == 0
    assert run_cli(*args, "--mode", "batch", env=env).returncode == 0
    assert sources(read_topic(kafka, topics.predictions)) == coordinates(read_topic(kafka, topics.raw))


def test_consume_exits_3_when_no_broker_answers() -> None:
    started = time.monotonic()
    run = run_in_process("consume", "--broker", "localhost:1", "--timeout", "1", "--quiet")
    assert run.code == 3
    assert run.out == ""
    assert len(run.err.splitlines()) == 1, run.err
    assert "localhost:1" in run.err
    assert time.monotonic() - started < 10


def test_stop_remembers_the_first_request() -> None:
    stop = Stop()
    assert (stop.requested, stop.overdue(0), stop.wait(0)) == (False, False, False)
    stop.request()
    assert (stop.requested, stop.overdue(60), stop.wait(60)) == (True, False, True)
    stop._since -= 61
    stop.request()
    assert stop.overdue(60), "the first request counts"


def test_interrupting_raises_when_a_stop_is_requested() -> None:
    stop = Stop()
    with pytest.raises(Stopped), stop.interrupting():
        stop.request()
    with pytest.raises(Stopped), stop.interrupting():
        pytest.fail("the stop was requested before")
    stop.request()


def test_stop_on_signals_requests_a_stop_when_signalled() -> None:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        stop = stop_on_signals()
        signal.raise_signal(signal.SIGTERM)
        assert stop.requested
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
