"""Worker processes of a scenario, which tests start, kill, pause and stop."""

import json
import re
import signal
from collections.abc import Mapping
from pathlib import Path
from random import Random

from tests.support.cli import RunningCli
from tests.support.waiting import wait_until

#: Without the limit on consecutive dead letters, which a replay of poison exceeds; the broker may be down at the start.
_CONSUME = ("consume", "--output", "json", "--max-consecutive-dead-letters", "0", "--timeout", "60")

#: Maximum records of a batch, chosen at random: small batches fill up, so that the next is scored before the commit.
_BATCHES = ("100", "5000")

_ASSIGNED = re.compile(r"assigned partitions \d")


class WorkerPool:
    """Workers of one group; with `fixed` a slot's next worker takes over its transactional ID."""

    def __init__(
        self, folder: Path, env: Mapping[str, str], random: Random, *, fixed: bool = False, module: str = "telco_stream"
    ) -> None:
        self._folder = folder
        self._env = dict(env)
        self._random = random
        self._fixed = fixed
        self._module = module
        self._started = 0
        self.running: dict[int, RunningCli] = {}
        self._all: list[RunningCli] = []

    def start(self, slot: int | None = None, **env: str) -> RunningCli:
        """Start a worker in a free slot."""
        free = next(number for number in range(len(self.running) + 1) if number not in self.running)
        slot = free if slot is None else slot
        settings = {"TELCO_STREAM_CONSUMER__MAX_POLL_RECORDS": self._random.choice(_BATCHES)}
        if self._fixed:
            settings["TELCO_STREAM_CONSUMER__TRANSACTIONAL_ID"] = f"{self._folder.name}-{slot}"
        folder = self._folder / f"worker-{self._started}"
        folder.mkdir()
        self._started += 1
        self.running[slot] = RunningCli(_CONSUME, folder, self._env | settings | env, folder, self._module)
        self._all.append(self.running[slot])
        return self.running[slot]

    def choose(self) -> int:
        """Return the slot of a random worker that has partitions."""
        return self._random.choice(wait_until(self._assigned, 60, "a worker with partitions"))

    def replace_killed(self, slot: int | None = None) -> None:
        """Kill the worker of a slot, or a random one, with SIGKILL and start another in its slot."""
        slot = self.choose() if slot is None else slot
        worker = self.running.pop(slot)
        assert worker.process.poll() is None, f"a worker ended before it was killed: {worker.stderr()}"
        worker.end()
        self.start(slot)

    def replace_stopped(self) -> None:
        """Stop a random worker and start another in its slot."""
        slot = self.choose()
        self.stop(slot)
        self.start(slot)

    def stop(self, slot: int) -> None:
        """Stop a worker with SIGTERM; it must exit with 0 and print a summary."""
        worker = self.running.pop(slot)
        worker.wait_for_stderr("started", 60)  # before that, the signal would hit the starting interpreter
        worker.signal(signal.SIGTERM)
        code = worker.wait()
        assert code == 0, f"exit {code} after SIGTERM: {worker.stderr()}"
        assert json.loads(worker.stdout())["stopped_by"] == "signal"

    def stop_all(self) -> None:
        """Stop all workers."""
        for slot in sorted(self.running):
            self.stop(slot)

    def logs(self) -> str:
        """Return the stderr of all workers."""
        return "\n".join(f"worker {number}:\n{worker.stderr()}" for number, worker in enumerate(self._all))

    def end(self) -> None:
        """Kill all workers that still run."""
        for worker in self._all:
            worker.end()

    def _assigned(self) -> list[int]:
        return [slot for slot, worker in sorted(self.running.items()) if _ASSIGNED.search(worker.stderr())]
