"""The workbench: broker, data, topics, and how each subject is started on them."""

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
#: Virtual environments of the peers, kept from run to run.
HOMES = ROOT / ".bench"
PEERS = {"faststream": "faststream_peer", "quixstreams": "quix_peer"}


@dataclass(frozen=True, slots=True)
class Counts:
    """How much of everything."""

    runs: int
    records: int
    many: int
    slow: int
    rows: int
    seconds: float

    @classmethod
    def full(cls, runs: int) -> "Counts":
        """As in the table."""
        return cls(runs, records=600_000, many=2_000_000, slow=100_000, rows=1_000, seconds=10)

    @classmethod
    def quick(cls, runs: int) -> "Counts":
        """To see that everything works."""
        return cls(runs, records=20_000, many=40_000, slow=5_000, rows=50, seconds=2)


class _Properties(Clients):
    """The product's own client properties, in place of clients."""

    def _make(self, kind: Callable[[dict[str, Any]], Any], properties: dict[str, Any]) -> Any:  # noqa: ARG002
        return {name: value for name, value in properties.items() if name not in {"error_cb", "logger"}}


@dataclass(frozen=True, slots=True)
class Bench:
    """One session's broker, folder, data and counts; `raw` holds `counts.many` customers."""

    bootstrap: str
    topics: Topics
    folder: Path
    counts: Counts
    raw: str = ""

    @property
    def csv(self) -> Path:
        """`counts.records` customers."""
        return self.folder / "customers.csv"

    def properties(self, group: str, **more: str) -> dict[str, dict[str, Any]]:
        """What the product gives its own clients; `more` with `_` for `.` go to the producers."""
        clients, extra = _Properties(self.settings()), {name.replace("_", "."): text for name, text in more.items()}
        made: dict[str, Any] = {"consumer": clients.consumer(group), "producer": clients.producer()}
        made["transactional"] = clients.producer(f"{group}-id")
        return {kind: own | (extra if kind != "consumer" else {}) for kind, own in made.items()}

    def settings(self) -> Settings:
        """The product's defaults on this broker."""
        return Settings(bootstrap_servers=self.bootstrap)

    def loop(self, name: str, out: str, count: int, *, python: str = sys.executable, **more: Any) -> list[str]:
        """The command of a loop or a peer."""
        job = {
            "properties": self.properties(self.topics.fresh("group")),
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
        """The product's settings."""
        return {
            "TELCO_STREAM_BOOTSTRAP_SERVERS": self.bootstrap,
            "TELCO_STREAM_TOPICS__RAW": raw,
            "TELCO_STREAM_TOPICS__PREDICTIONS": out,
            "TELCO_STREAM_TOPICS__DEADLETTER": letters,
            "TELCO_STREAM_CONSUMER__GROUP_ID": group,
            "TELCO_STREAM_MODEL__PATH": str(MODEL),
        }

    def consume(self, count: int, *options: str) -> Run:
        """The product itself, up to `count` records of the raw topic."""
        with self.topics.standing("out", "letters") as (out, letters):
            env = self.env(self.raw, out, letters, self.topics.fresh("group"))
            command = cli("consume", "--max-messages", str(count), "--quiet", "--output", "json", *options)
            return run(command, env, self.folder)

    def consume_watched(self, count: int, *options: str) -> Run:
        """The same on a terminal, with all that it says and draws there."""
        with self.topics.standing("out", "letters") as (out, letters):
            env = self.env(self.raw, out, letters, self.topics.fresh("group")) | {"TERM": "xterm-256color"}
            command = cli("consume", "--max-messages", str(count), "--output", "json", *options)
            return run(command, env, self.folder, watched=True)

    def consume_with_workers(self, workers: int) -> Run:
        """The product until the group has answered all of the raw topic: with workers there is no bound."""
        with self.topics.standing("out", "letters") as (out, letters):
            group = self.topics.fresh("group")
            command = cli("consume", "--workers", str(workers), "--quiet", "--output", "json")
            return run(
                command,
                self.env(self.raw, out, letters, group),
                self.folder,
                lambda process: self.topics.wait_until_committed(group, self.raw, self.counts.many, process.is_alive),
            )

    def copy(self, name: str, count: int, **more: Any) -> Run:
        """A loop or a peer, up to `count` records of the raw topic."""
        with self.topics.standing("out") as (out,):
            return run(self.loop(name, out, count, **more), {}, self.folder)

    def produce(self, count: int, *options: str) -> Run:
        """The product's producer in batch mode."""
        with self.topics.standing("raw") as (raw,):
            command = cli("produce", "--mode", "batch", "--limit", str(count), "--restart", "--quiet", *options)
            command += ["--output", "json", "--data-path", str(self.csv), "--topic", raw]
            return run(command, self.env(raw, "out", "letters", "group"), self.folder)


@contextmanager
def filled(bench: Bench) -> Iterator[Bench]:
    """The same with customers: a CSV of `records`, and a raw topic of `many`."""
    sample = cli("sample", "--rows", str(bench.counts.records), "--seed", "7", "--out", str(bench.csv), "--quiet")
    run(sample, {}, bench.folder)
    with bench.topics.standing("raw") as (raw,):
        left = bench.counts.many
        while left:
            command = cli("produce", "--mode", "batch", "--delivery", "at-least-once", "--restart", "--quiet")
            command += ["--data-path", str(bench.csv), "--limit", str(left), "--output", "json"]
            left -= run(command, bench.env(raw, "out", "letters", "group"), bench.folder).records
        yield Bench(bench.bootstrap, bench.topics, bench.folder, bench.counts, raw)


@cache
def home(peer: str) -> str:
    """The interpreter of a peer's own virtual environment, made on first use; `FailedError` where it can't be."""
    folder, wanted = HOMES / peer, Path(__file__).parent / "peers" / f"{peer}.txt"
    python, stamp = folder / "bin" / "python", folder / "installed"
    if stamp.is_file() and stamp.read_text() == wanted.read_text():
        return str(python)
    print(f"making {folder.relative_to(ROOT)} …", file=sys.stderr)
    venv.create(folder, with_pip=True, clear=True)
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", str(wanted)]
    if done := subprocess.run(pip, check=False).returncode:
        raise FailedError(f"{peer} can't be installed: pip ended with {done}")
    stamp.write_text(wanted.read_text())
    return str(python)
