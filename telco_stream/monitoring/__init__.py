"""Monitoring of a run: observers, metrics, health checks and stall detection."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, replace

from telco_stream.errors import KafkaError
from telco_stream.kafka.clients import Clients
from telco_stream.model.scorer import Scorer
from telco_stream.monitoring.dead_letter_log import DeadLetterLog
from telco_stream.monitoring.protocols import ProduceObserver, RunObserver, ViewPartitions
from telco_stream.runtime.signals import Stop


@dataclass(frozen=True, slots=True)
class MonitoringOptions:
    """Options of the monitoring; port 0 serves nothing."""

    port: int = 0
    exit_on_stall: bool = False
    model_created: str | None = None

    def in_slot(self, slot: int) -> "MonitoringOptions":
        """Return the options of one of several workers, each of which has its own port."""
        return replace(self, port=self.port and self.port + slot)


NO_MONITORING = MonitoringOptions()


class RunMonitor:
    """Monitor of a run of `consume` that exports nothing. The loop uses its `scorer` and its `observers`."""

    def __init__(self, scorer: Scorer, observers: Sequence[RunObserver]) -> None:
        self.scorer = scorer
        self.observers = observers
        #: Description of the stall that ended the run.
        self.stall: str | None = None

    def attach(self, partitions: ViewPartitions) -> AbstractContextManager[object]:
        """Attach the observers; monitor the partitions while the block runs."""
        for observer in self.observers:
            observer.attach(partitions)
        return nullcontext()

    def count_transactions(self, outcomes: Callable[[], Mapping[str, int]]) -> None:
        """Export the number of transactions by outcome."""


@contextmanager
def monitor_run(
    options: MonitoringOptions, clients: Clients, scorer: Scorer, *, stop: Stop, observers: Sequence[RunObserver]
) -> Iterator[RunMonitor]:
    """Monitor a run of `consume`; raise `KafkaError` after a stall that ended it (--exit-on-stall)."""
    dead_letter_log = DeadLetterLog()
    monitor = RunMonitor(scorer, [dead_letter_log, *observers])
    with ExitStack() as stack:
        stack.callback(dead_letter_log.finish)
        if options.port or options.exit_on_stall:
            from telco_stream.monitoring.http import http_run_monitor  # noqa: PLC0415 - imports prometheus_client, which takes long

            monitor = stack.enter_context(
                http_run_monitor(options, clients, scorer, stop=stop, observers=monitor.observers)
            )
        yield monitor
    if monitor.stall:
        raise KafkaError(f"{monitor.stall}; stopped so that a supervisor can restart it (--exit-on-stall)")


@contextmanager
def monitor_produce(
    options: MonitoringOptions, clients: Clients, target: float, observer: ProduceObserver
) -> Iterator[ProduceObserver]:
    """Monitor a run of `produce` with this target rate (rows per second, 0 is as fast as possible)."""
    if not options.port:
        yield observer
        return
    from telco_stream.monitoring.http import http_produce_monitor  # noqa: PLC0415 - as above

    with http_produce_monitor(options, clients, target, observer) as monitor:
        yield monitor
