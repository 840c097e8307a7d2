"""The workers of a case: processes that are started, killed, paused and asked to stop."""

import json
import re
import signal
from collections.abc import Mapping
from pathlib import Path
from random import Random

from tests.support.cli import RunningCli
from tests.support.waiting import wait_until

#: Poison comes in rows where it is replayed, and the limit is another test's; the broker may be away at the start.
_CONSUME = ("consume", "--output", "json", "--max-consecutive-dead-letters", "0", "--timeout", "60")

#: The most records of a batch, for one worker or the other: behind a full one the next is made before it is committed.
_BATCHES = ("100", "5000")

_ASSIGNED = re.compile(r"assigned partitions \d")


class WorkerPool:
    """Workers of one group; `fixed` gives each slot a transactional id that its next worker takes over."""

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
        """A worker more, in a slot that is free."""
        free = next(number for number in range(len(self.running) + 1) if number not in self.running)
        slot = free if slot is None else slot
        own = {"TELCO_STREAM_CONSUMER__MAX_POLL_RECORDS": self._random.choice(_BATCHES)}
        if self._fixed:
            own["TELCO_STREAM_CONSUMER__TRANSACTIONAL_ID"] = f"{self._folder.name}-{slot}"
        folder = self._folder / f"worker-{self._started}"
        folder.mkdir()
        self._started += 1
        self.running[slot] = RunningCli(_CONSUME, folder, self._env | own | env, folder, self._module)
        self._all.append(self.running[slot])
        return self.running[slot]

    def any(self) -> int:
        """The slot of one of them that has partitions, at random."""
        return self._random.choice(wait_until(self._busy, 60, "a worker with partitions"))

    def replace_killed(self) -> None:
        """One was killed by SIGKILL, and a new one starts in its place."""
        slot = self.any()
        worker = self.running.pop(slot)
        assert worker.process.poll() is None, f"a worker had ended by itself: {worker.stderr()}"
        worker.end()
        self.start(slot)

    def replace_stopped(self) -> None:
        """One was asked to stop, and a new one starts in its place."""
        slot = self.any()
        self.stop(slot)
        self.start(slot)

    def stop(self, slot: int) -> None:
        """Asked by SIGTERM, it has ended as it should: exit code 0 and a summary."""
        worker = self.running.pop(slot)
        worker.wait_for_stderr("started", 60)  # before it is there, the interpreter itself would answer
        worker.signal(signal.SIGTERM)
        code = worker.wait()
        assert code == 0, f"exit {code} after SIGTERM: {worker.stderr()}"
        assert json.loads(worker.stdout())["stopped_by"] == "signal"

    def stop_all(self) -> None:
        """None runs any more, and each has ended as it should."""
        for slot in sorted(self.running):
            self.stop(slot)

    def told(self) -> str:
        """What each has written to stderr."""
        return "\n".join(f"worker {number}:\n{worker.stderr()}" for number, worker in enumerate(self._all))

    def end(self) -> None:
        """None runs any more, by SIGKILL if need be."""
        for worker in self._all:
            worker.end()

    def _busy(self) -> list[int]:
        return [slot for slot, worker in sorted(self.running.items()) if _ASSIGNED.search(worker.stderr())]
