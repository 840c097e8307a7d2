"""A benchmark session: broker, data and topics, and how each subject runs on them."""

import json
import math
import subprocess
import sys
import venv
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from benchmarks.broker import Topics
from benchmarks.processes import ROOT, FailedError, Run, cli, run
from telco_stream.kafka.clients import Clients
from telco_stream.settings import Settings

MODEL = ROOT / "models" / "churn"
#: Virtual environments of the peers, kept between sessions.
PEER_ENVIRONMENTS = ROOT / ".bench"
PEERS = {"faststream": "faststream_peer", "quixstreams": "quix_peer"}


@dataclass(frozen=True, slots=True)
class Counts:
    """Counts of runs and records, and seconds of a latency run."""

    runs: int
    records: int
    many: int
    slow: int
    rows: int
    seconds: float

    @classmethod
    def full(cls, runs: int) -> "Counts":
        """Return the counts of a full session."""
        return cls(runs, records=600_000, many=2_000_000, slow=100_000, rows=1_000, seconds=10)

    @classmethod
    def quick(cls, runs: int) -> "Counts":
        """Return small counts, to check that everything works."""
        return cls(runs, records=20_000, many=40_000, slow=5_000, rows=50, seconds=2)


class _Properties(Clients):
    """Returns the package's client properties instead of clients."""

    def _make(self, kind: Callable[[dict[str, Any]], Any], properties: dict[str, Any]) -> Any:  # noqa: ARG002
        return {name: value for name, value in properties.items() if name not in {"error_cb", "logger"}}


@dataclass(frozen=True, slots=True)
class BenchSession:
    """Broker, folder, data and counts of a session; the topic `raw` holds `counts.many` customers."""

    bootstrap: str
    topics: Topics
    folder: Path
    counts: Counts
    raw: str = ""

    @property
    def csv(self) -> Path:
        """Return the path of a CSV file with `counts.records` customers."""
        return self.folder / "customers.csv"

    def properties(self, group: str, **more: str) -> dict[str, dict[str, Any]]:
        """Return the package's client properties by kind; `more` extends those of the producers, with `_` for `.`."""
        clients, extra = _Properties(self.settings()), {name.replace("_", "."): text for name, text in more.items()}
        by_kind: dict[str, Any] = {"consumer": clients.consumer(group), "producer": clients.producer()}
        by_kind["transactional"] = clients.producer(f"{group}-id")
        by_kind["consumer"]["auto.offset.reset"] = "earliest"  # unlike `consume`, the loops do not seek to a start
        return {kind: base | (extra if kind != "consumer" else {}) for kind, base in by_kind.items()}

    def settings(self) -> Settings:
        """Return the default settings with this broker."""
        return Settings(bootstrap_servers=self.bootstrap)

    def loop(self, name: str, out: str, count: int, *, python: str = sys.executable, **more: Any) -> list[str]:
        """Return the command that runs a loop or a peer."""
        job = {
            "properties": self.properties(self.topics.unique_name("group")),
            "raw": self.raw,
            "out": out,
            "count": count,
            "size": min(self.settings().consumer.max_poll_records, count or math.inf),
            "model": str(MODEL),
            "csv": str(self.csv),
            "transactional": False,
            "trickle": False,
        }
        return [python, "-m", f"benchmarks.{name}", json.dumps(job | more)]

    def env(self, raw: str, out: str, letters: str, group: str) -> dict[str, str]:
        """Return the environment of a `telco-stream` command."""
        return {
            "TELCO_STREAM_BOOTSTRAP_SERVERS": self.bootstrap,
            "TELCO_STREAM_TOPICS__RAW": raw,
            "TELCO_STREAM_TOPICS__PREDICTIONS": out,
            "TELCO_STREAM_TOPICS__DEADLETTER": letters,
            "TELCO_STREAM_CONSUMER__GROUP_ID": group,
            "TELCO_STREAM_MODEL__PATH": str(MODEL),
        }

    def consume(self, count: int, *options: str, **variables: str) -> Run:
        """Run `telco-stream consume` for `count` records of the raw topic, with these environment variables."""
        with self.topics.temporary_topics("out", "letters") as (out, letters):
            env = self.env(self.raw, out, letters, self.topics.unique_name("group")) | variables
            command = cli("consume", "--max-messages", str(count), "--quiet", "--output", "json", *options)
            return run(command, env, self.folder)

    def consume_on_terminal(self, count: int, *options: str) -> Run:
        """Run `telco-stream consume` on a terminal, with its logs and live view."""
        with self.topics.temporary_topics("out", "letters") as (out, letters):
            env = self.env(self.raw, out, letters, self.topics.unique_name("group")) | {"TERM": "xterm-256color"}
            command = cli("consume", "--max-messages", str(count), "--output", "json", *options)
            return run(command, env, self.folder, on_terminal=True)

    def consume_with_workers(self, workers: int) -> Run:
        """Run workers until the group has committed all of the raw topic; workers have no record limit."""
        with self.topics.temporary_topics("out", "letters") as (out, letters):
            group = self.topics.unique_name("group")
            command = cli("consume", "--workers", str(workers), "--quiet", "--output", "json")
            return run(
                command,
                self.env(self.raw, out, letters, group),
                self.folder,
                lambda process: self.topics.wait_until_committed(group, self.raw, self.counts.many, process.is_alive),
            )

    def copy(self, name: str, count: int, **more: Any) -> Run:
        """Run a loop or a peer for `count` records of the raw topic."""
        with self.topics.temporary_topics("out") as (out,):
            return run(self.loop(name, out, count, **more), {}, self.folder)

    def produce(self, count: int, *options: str) -> Run:
        """Run `telco-stream produce` in batch mode."""
        with self.topics.temporary_topics("raw") as (raw,):
            command = cli("produce", "--mode", "batch", "--limit", str(count), "--restart", "--quiet", *options)
            command += ["--output", "json", "--data-path", str(self.csv), "--topic", raw]
            return run(command, self.env(raw, "out", "letters", "group"), self.folder)


@contextmanager
def with_data(session: BenchSession) -> Iterator[BenchSession]:
    """Add data to a session: a CSV file with `counts.records` customers and a raw topic with `counts.many`."""
    sample = cli("sample", "--rows", str(session.counts.records), "--seed", "7", "--out", str(session.csv), "--quiet")
    run(sample, {}, session.folder)
    with session.topics.temporary_topics("raw") as (raw,):
        remaining = session.counts.many
        while remaining:
            command = cli("produce", "--mode", "batch", "--delivery", "at-least-once", "--restart", "--quiet")
            command += ["--data-path", str(session.csv), "--limit", str(remaining), "--output", "json"]
            remaining -= run(command, session.env(raw, "out", "letters", "group"), session.folder).records
        yield BenchSession(session.bootstrap, session.topics, session.folder, session.counts, raw)


@cache
def peer_python(peer: str) -> str:
    """Return the Python of a peer's virtual environment, created on first use; raise `FailedError` if that fails."""
    folder, requirements = PEER_ENVIRONMENTS / peer, Path(__file__).parent / "peers" / f"{peer}.txt"
    python, stamp = folder / "bin" / "python", folder / "installed"
    if stamp.is_file() and stamp.read_text() == requirements.read_text():
        return str(python)
    print(f"creating {folder.relative_to(ROOT)} …", file=sys.stderr)
    venv.create(folder, with_pip=True, clear=True)
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", str(requirements)]
    if code := subprocess.run(pip, check=False).returncode:
        raise FailedError(f"{peer} cannot be installed: pip exited with {code}")
    stamp.write_text(requirements.read_text())
    return str(python)
