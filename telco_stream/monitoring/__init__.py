"""Monitoring of a run: observers, metrics, health checks and stall detection."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace

from telco_stream.kafka.clients import Clients
from telco_stream.model.serving import Models
from telco_stream.monitoring.protocols import ProduceObserver, RunObserver
from telco_stream.runtime.logs import MAX_LINES, MINUTE, list_facts, log
from telco_stream.runtime.signals import Stop
from telco_stream.scoring import Outcome

#: Maximum number of different errors of the model that are logged.
MAX_MODEL_ERRORS = 100


@dataclass(frozen=True, slots=True)
class MonitoringOptions:
    """Options of the monitoring; port 0 serves nothing."""

    port: int = 0
    exit_on_stall: bool = False

    def in_slot(self, slot: int) -> "MonitoringOptions":
        """Return the options of one of several workers, each of which has its own port."""
        return replace(self, port=self.port and self.port + slot)


NO_MONITORING = MonitoringOptions()


@contextmanager
def monitor_run(
    options: MonitoringOptions, clients: Clients, models: Models, *, stop: Stop, observers: Sequence[RunObserver]
) -> Iterator[Sequence[RunObserver]]:
    """Monitor a run of `consume`; yield the observers for its loop.

    Raises `KafkaError` after a stall that ended the run (--exit-on-stall).
    """
    from telco_stream.monitoring.drift import DriftMonitor  # noqa: PLC0415 - imports numpy, which `produce` does without

    drift = DriftMonitor(models, clients.settings.drift)
    observers = [DeadLetterLog(), drift, *observers]
    if not (options.port or options.exit_on_stall):
        yield observers
        return
    from telco_stream.monitoring.http import http_run_monitor  # noqa: PLC0415 - imports prometheus_client, which takes long

    with http_run_monitor(options, clients, models, drift, stop) as observer:
        yield [observer, *observers]


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


class DeadLetterLog(RunObserver):
    """Observer that logs dead letters, the first ten of each minute and the number of the others, and model errors.

    Each error of the model is logged once.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._minute_started = clock()
        self._logged = self._suppressed = 0
        self._model_errors: set[str] = set()

    def on_poll(self) -> None:
        """Begin a new minute when the last one is over."""
        if self._clock() - self._minute_started >= MINUTE:
            self.finish()

    def on_committed(self, outcome: Outcome, timings: object) -> None:  # noqa: ARG002 - the protocol's parameters
        """Log the batch's dead letters and the model's new errors."""
        self._log_model_errors(outcome.model_errors)
        rejections = outcome.rejected[: MAX_LINES - self._logged]
        for rejection in rejections:
            facts = asdict(rejection)
            log.warning("dead letter for %s", list_facts(facts), extra={"event": "dead_letter", "facts": facts})
        self._logged += len(rejections)
        self._suppressed += len(outcome.rejected) - len(rejections)

    def _log_model_errors(self, errors: Iterable[str]) -> None:
        for error in errors:
            if error not in self._model_errors and len(self._model_errors) < MAX_MODEL_ERRORS:
                self._model_errors.add(error)
                log.warning("the model failed: %s", error, extra={"event": "model_error", "facts": {"error": error}})

    def finish(self) -> None:
        """Log how many were suppressed, and begin a new minute."""
        if self._suppressed:
            facts = {"count": self._suppressed, "seconds": round(self._clock() - self._minute_started)}
            log.warning("more dead letters: %s", list_facts(facts), extra={"event": "dead_letters", "facts": facts})
        self._minute_started, self._logged, self._suppressed = self._clock(), 0, 0
