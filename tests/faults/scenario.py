"""A case from beginning to end: a load, workers, faults; then the drain, and the judges' word."""

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
from tests.faults.numbered import numbered
from tests.faults.progress import Progress
from tests.faults.worker_pool import WorkerPool
from tests.support.cli import run_cli
from tests.support.topics import Topics

#: Time-outs that make the broker's judgement quick; the defaults are measured by `test_stall`.
QUICK = {
    "TELCO_STREAM_KAFKA__SESSION__TIMEOUT__MS": "4000",
    "TELCO_STREAM_KAFKA__HEARTBEAT__INTERVAL__MS": "1000",
    "TELCO_STREAM_KAFKA__TRANSACTION__TIMEOUT__MS": "6000",
    "TELCO_STREAM_KAFKA__RECONNECT__BACKOFF__MAX__MS": "500",
}


@dataclass
class Scenario:
    """What a case works with; `full` is the form of `make faults`, the other one fits into `make test`."""

    name: str
    bootstrap: str
    topics: Topics
    folder: Path
    seed: int
    full: bool
    note: Callable[[Figures], None]
    random: Random = field(init=False)
    pool: WorkerPool = field(init=False)
    load: Load = field(init=False)
    progress: Progress = field(init=False)
    faults: int = 0

    def __post_init__(self) -> None:
        self.random = Random(self.seed)
        self._started = time.monotonic()

    def form(self, short: int, full: int) -> int:
        """A number of the form in hand."""
        return full if self.full else short

    def env(self, settings: Mapping[str, str] | None = None) -> dict[str, str]:
        """What makes a `telco-stream` process part of this case."""
        return self.topics.env(self.bootstrap) | dict(QUICK if settings is None else settings)

    @contextmanager
    def streaming(self, **options: Any) -> Iterator[None]:
        """As `stream`; afterwards each input has been answered exactly once, or the test fails."""
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
    ) -> Iterator[None]:
        """Faults are injected inside; afterwards the stream has been drained, and the workers have ended."""
        customers = numbered(self.random, poison)
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
            sys.stdout.write(self.pool.told())
            raise
        finally:
            self.pool.end()
            self.load.end()
            self.progress.end()

    def moment(self, longest: float = 1.5) -> None:
        """A random moment later, in a stream that flows: what was injected before has been survived."""
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
        """Both judges find every input answered exactly once; `times` says how often each stands in the raw topic."""
        verdict = self.judge(expected, times)
        self.figures(verdict, longest_wait)
        assert not verdict.complaint(), f"seed {self.seed}: {verdict.complaint()}"
        ledger = self.verify()
        assert ledger["inputs"] == verdict.inputs
        assert ledger["dead_lettered"] == verdict.inputs - ledger["predicted"]

    def figures(self, verdict: Verdict, longest_wait: float | None) -> None:
        """Note what this case has come to."""
        self.note(Figures.of(self, verdict, longest_wait, time.monotonic() - self._started))

    def judge(self, expected: Mapping[str, float | None], times: Mapping[str, int] | None = None) -> Verdict:
        """What the independent reader finds; before that, the raw topic must hold what was sent."""
        inputs = read_inputs(self.bootstrap, self.topics.raw, expected)
        strays = not_sent_once(times or dict.fromkeys(expected, 1), (one.key for one in inputs.values()))
        assert not strays, f"seed {self.seed}: {len(strays)} customers not in the raw topic as sent: {strays[:5]}"
        return check_answers(inputs, read_answers(self.bootstrap, self.topics))

    def verify(self) -> dict[str, int]:
        """The ledger of `telco-stream verify`, which finds nothing to complain about."""
        done = run_cli("verify", "--output", "json", env=self.env(), cwd=self.folder)
        assert done.returncode == 0, f"seed {self.seed}: verify: {done.stdout}{done.stderr}"
        ledger: dict[str, int] = json.loads(done.stdout)
        return ledger
