"""A pass over a CSV file with a row writer in memory that logs its calls."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from telco_stream.csv.reader import fingerprint
from telco_stream.csv.validation import CsvFormat
from telco_stream.messages.record import Message
from telco_stream.produce.loop import ProduceDeps, ProducePlan
from telco_stream.produce.progress import CheckpointFile, PassKey, PassProgress, describe_format
from telco_stream.produce.rows import BadRowsFile
from telco_stream.produce.writer import MarkedProgress
from telco_stream.runtime.signals import Stop, Stopped
from tests.support.csv_files import customer, write_table
from tests.support.telco import FORMAT

TOPIC = "raw"
CHECKPOINT = "checkpoints/producer.json"


@dataclass
class FakeRowWriter:
    """A topic in memory; `stored` is the progress stored in Kafka, `loses` the confirmations that fail, by number."""

    stores_progress: bool = True
    stored: PassProgress | None = None
    marked: MarkedProgress | None = None
    searches: list[bool] = field(default_factory=list)
    topic: list[Message] = field(default_factory=list)
    open: list[Message] = field(default_factory=list)
    log: list[str] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    loses: dict[int, str] = field(default_factory=dict)
    after: Callable[["FakeRowWriter"], object] = lambda _: None

    def read_progress(self) -> PassProgress | None:
        return self.stored

    def search_marks(self, *, whole: bool) -> MarkedProgress | None:
        self.searches.append(whole)
        return self.marked

    def send(self, topic: str, messages: Sequence[Message]) -> None:
        assert topic == TOPIC
        self.log.append("send")
        self.open += messages

    def confirm(self, progress: PassProgress) -> bool:
        fate = self.loses.get(len(self.sizes), "committed")
        self.log.append("confirm")
        self.sizes.append(len(self.open))
        if fate == "never":
            raise Stopped
        if fate in {"committed", "unclear"}:
            self.topic += self.open
            self.stored = progress
        self.open = []
        self.after(self)
        return fate == "committed"

    def unconfirmed(self) -> int:
        return len(self.open)

    def keys(self) -> list[Any]:
        """Return the keys of the confirmed messages."""
        return [key for key, _, _ in self.topic]

    def times(self) -> list[str]:
        """Return the `event_ts` of the confirmed messages."""
        return [msgspec.json.decode(value)["event_ts"] for _, value, _ in self.topic]


class CountingObserver:
    """Counts sent and resumed rows."""

    rows = 0
    before = 0

    def attach(self, counters: object) -> None:
        pass

    def resumed(self, rows: int) -> None:
        self.before = rows

    def advance(self, rows: int) -> None:
        self.rows += rows


def write_customers(folder: Path, rows: int, *bad: str) -> Path:
    """Write a CSV file with customers 0 to `rows` - 1, followed by the `bad` lines."""
    before, _, after = customer(customerID="ID").partition("ID")
    return write_table(folder, *(f"{before}{number}{after}" for number in range(rows)), *bad)


def customer_ids(*ranges: tuple[int, int]) -> list[str]:
    """Return the customer IDs of half-open ranges."""
    return [str(number) for start, end in ranges for number in range(start, end)]


def make_plan(
    path: Path,
    *,
    size: int = 10,
    limit: int | None = None,
    run: str | None = None,
    restart: bool = False,
    topic_id: str | None = None,
    bad_rows: Path | None = None,
    csv_format: CsvFormat = FORMAT,
) -> ProducePlan:
    key = PassKey(str(path), fingerprint(path), TOPIC, run, topic_id, describe_format(csv_format))
    bad_rows_file = BadRowsFile(bad_rows, path, csv_format) if bad_rows else None
    return ProducePlan(key, path, size, limit, restart, bad_rows=bad_rows_file, csv_format=csv_format)


def make_deps(writer: FakeRowWriter, stop: Stop | None = None, folder: Path = Path()) -> ProduceDeps:
    ticks = iter(range(1_000_000))
    checkpoint = CheckpointFile(folder / CHECKPOINT, is_needed=not writer.stores_progress)
    return ProduceDeps(writer, checkpoint, lambda: f"t{next(ticks)}", stop or Stop(), CountingObserver())
