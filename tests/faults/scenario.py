"""A fault scenario: load, workers and faults, then the drain and the check of all answers."""

import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from tests.faults.checker import Verdict, check_answers, not_sent_once, read_answers, read_inputs
from tests.faults.figures import Figures
from tests.faults.load import Load
from tests.faults.numbered import Predict, numbered, predict_bundled
from tests.faults.progress import Progress
from tests.faults.worker_pool import WorkerPool
from tests.support.cli import run_cli
from tests.support.topics import Topics

#: Short timeouts, so that the broker detects lost workers quickly; test_stall.py measures the defaults.
QUICK = {
    "TELCO_STREAM_KAFKA__SESSION__TIMEOUT__MS": "4000",
    "TELCO_STREAM_KAFKA__HEARTBEAT__INTERVAL__MS": "1000",
    "TELCO_STREAM_KAFKA__TRANSACTION__TIMEOUT__MS": "6000",
    "TELCO_STREAM_KAFKA__RECONNECT__BACKOFF__MAX__MS": "500",
}


@dataclass
class Scenario:
    """The state of a fault case; `full` is the long form of `make faults`, the short one is part of `make test`."""

    name: str
    bootstrap: str
    topics: Topics
    folder: Path
    seed: int
    full: bool
    on_figures: Callable[[Figures], None]
    random: Random = field(init=False)
    pool: WorkerPool = field(init=False)
    load: Load = field(init=False)
    progress: Progress = field(init=False)
    faults: int = 0

    def __post_init__(self) -> None:
        self.random = Random(self.seed)
        self._started = time.monotonic()

    def form(self, short: int, full: int) -> int:
        """Return the number for the form of this run."""
        return full if self.full else short

    def env(self, settings: Mapping[str, str] | None = None) -> dict[str, str]:
        """Return the environment for a `telco-stream` process of this scenario."""
        return self.topics.env(self.bootstrap) | dict(QUICK if settings is None else settings)

    @contextmanager
    def streaming(self, **options: Any) -> Iterator[None]:
        """Run `stream`, and then check that each input is answered exactly once."""
        with self.stream(**options):
            yield
        self.check(self.load.sent, longest_wait=self.progress.longest_wait())

    @contextmanager
    def stream(
        self,
        *,
        workers: int = 3,
        least: tuple[int, int] = (2_000, 20_000),
        rate: float = 1_000,
        poison: float = 0.0,
        fixed: bool = False,
        settings: Mapping[str, str] | None = None,
        module: str = "telco_stream",
        predict: Predict = predict_bundled,
    ) -> Iterator[None]:
        """Run load and workers while the block injects faults; then drain the stream and stop the workers."""
        customers = numbered(self.random, poison, predict)
        self.load = Load(self.bootstrap, self.topics.raw, customers, rate=rate, least=self.form(*least))
        self.progress = Progress(self.bootstrap, self.topics, self.load)
        self.pool = WorkerPool(self.folder, self.env(settings), self.random, fixed=fixed, module=module)
        try:
            for _ in range(workers):
                self.pool.start()
            self.progress.start()
            self.load.start()
            self.progress.wait_for_more()
            yield
            self.load.finish()
            self.progress.drain()
            self.pool.stop_all()
        except AssertionError:
            sys.stdout.write(self.pool.logs())
            raise
        finally:
            self.pool.end()
            self.load.end()
            self.progress.end()

    def moment(self, longest: float = 1.5) -> None:
        """Wait for an answer and then for a random time: the stream has survived the previous fault."""
        self.progress.wait_for_more()
        time.sleep(self.random.uniform(0, longest))
        self.faults += 1

    def check(
        self,
        expected: Mapping[str, float | None],
        *,
        times: Mapping[str, int] | None = None,
        longest_wait: float | None = None,
    ) -> None:
        """Check with two readers that each input is answered exactly once; `times` is its count in the raw topic."""
        verdict = self.verdict(expected, times)
        self.record_figures(verdict, longest_wait)
        assert not verdict.describe_errors(), f"seed {self.seed}: {verdict.describe_errors()}"
        ledger = self.verify()
        assert ledger["inputs"] == verdict.inputs
        assert ledger["dead_lettered"] == verdict.inputs - ledger["predicted"]

    def record_figures(self, verdict: Verdict, longest_wait: float | None) -> None:
        """Record the figures of this case for the run's summary."""
        self.on_figures(Figures.of(self, verdict, longest_wait, time.monotonic() - self._started))

    def verdict(self, expected: Mapping[str, float | None], times: Mapping[str, int] | None = None) -> Verdict:
        """Check the raw topic against what was sent, and return the verdict on all answers."""
        inputs = read_inputs(self.bootstrap, self.topics.raw, expected)
        unexpected = not_sent_once(times or dict.fromkeys(expected, 1), (record.key for record in inputs.values()))
        assert not unexpected, (
            f"seed {self.seed}: {len(unexpected)} customers not in the raw topic as sent: {unexpected[:5]}"
        )
        return check_answers(inputs, read_answers(self.bootstrap, self.topics))

    def verify(self) -> dict[str, int]:
        """Return the ledger of `telco-stream verify`, which must succeed."""
        run = run_cli("verify", "--output", "json", env=self.env(), cwd=self.folder)
        assert run.returncode == 0, f"seed {self.seed}: verify: {run.stdout}{run.stderr}"
        ledger: dict[str, int] = json.loads(run.stdout)
        return ledger
