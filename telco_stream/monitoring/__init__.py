"""Who looks on while a run works: the caller and, where asked for, metrics, health and the watchman."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from telco_stream.errors import KafkaError
from telco_stream.kafka.clients import Clients
from telco_stream.model.scorer import Scorer
from telco_stream.monitoring.dead_letter_log import DeadLetterLog
from telco_stream.monitoring.observer import (
    NO_MONITORING,
    CompositeObserver,
    MonitoringOptions,
    ProduceMonitor,
    ProduceObserver,
    RunMonitor,
    RunObserver,
)
from telco_stream.runtime.signals import Stop

__all__ = [
    "NO_MONITORING",
    "CompositeObserver",
    "MonitoringOptions",
    "ProduceMonitor",
    "ProduceObserver",
    "RunMonitor",
    "RunObserver",
    "looking_on",
    "looking_on_rows",
]


@contextmanager
def monitor_run(
    asked: MonitoringOptions, clients: Clients, scorer: Scorer, *, stop: Stop, watch: RunObserver
) -> Iterator[RunMonitor]:
    """Eyes on one run of `consume`; afterwards `KafkaError` is raised where a stall was to end the run, and did."""
    letters = DeadLetterLog()
    eyes = RunMonitor(clients, scorer, stop, CompositeObserver(letters, last=watch))
    with ExitStack() as stack:
        stack.callback(letters.finish)
        if asked.port or asked.exit_on_stall:
            from telco_stream.monitoring.http import http_run_monitor  # noqa: PLC0415 - as dear as a client, and few runs have a port

            eyes = stack.enter_context(http_run_monitor(asked, clients, scorer, stop=stop, watch=eyes.watch))
        yield eyes
    if eyes.stall:
        raise KafkaError(f"{eyes.stall}; ended to be started anew (--exit-on-stall)")


@contextmanager
def monitor_produce(
    asked: MonitoringOptions, clients: Clients, target: float, watch: ProduceObserver
) -> Iterator[ProduceMonitor]:
    """Eyes on one run of `produce`; `target` is the rate asked for, 0 for as fast as possible."""
    if not asked.port:
        yield ProduceMonitor(watch)
        return
    from telco_stream.monitoring.http import http_produce_monitor  # noqa: PLC0415 - as above

    with http_produce_monitor(asked, clients, target, watch) as eyes:
        yield eyes
