"""The commands whose pictures the documents show, run on a real Kafka as a reader would type them."""

import json
import signal
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.text import Text

from docs.screenshots.svg import screen_of, svg
from tests.support.cli import ROOT, RunningCli, run_cli
from tests.support.kafka_container import KafkaContainer
from tests.support.terminal import TerminalRun
from tests.support.topics import Outgoing, Topics, read_topic, send

TOPICS = Topics("telco.raw.customers", "telco.churn.predictions", "telco.deadletter", "churn-prediction-group", "")
#: Rows of the terminal; a picture has as many as are written.
_ROWS = 60
#: Not in the picture: a busy machine gets its time.
_PATIENTLY = ("--timeout", "60")
#: What no producer should send, so that there are dead letters to show.
BROKEN: list[Outgoing] = [
    ("7590-VHVEG", b'{"customerID": "7590-VHVEG", tenure: 1', []),
    ("5575-GNVDE", b'{"customerID": "5575-GNVDE"}', []),
    ("3668-QPYBK", b"\xff\xfe\x00", []),
]


@dataclass(frozen=True, slots=True)
class Studio:
    """A broker, the folder in which commands are typed, and the one for the pictures."""

    kafka: KafkaContainer
    folder: Path
    images: Path
    #: The pictures made so far.
    kept: list[Path] = field(default_factory=list)

    def shot(self, name: str, *words: str, columns: int = 80) -> None:
        """A command that ends by itself, and what it left on the terminal."""
        with self._typed(words, columns) as terminal:
            if terminal.end(120):
                raise SystemExit("\n".join(terminal.everything()))
            self._keep(name, words, terminal, columns)

    def live(self, name: str, *words: str, until: Iterable[str], columns: int = 80) -> None:
        """A command in mid-run, once its picture shows all of these texts."""
        with self._typed(words, columns) as terminal:
            for text in until:
                terminal.wait_for(text, 60)
            self._keep(name, words, terminal, columns)
            terminal.press(b"\x03")
            terminal.end(60)

    def inside(self, name: str, title: str, *words: str, columns: int = 80) -> None:
        """A command of Kafka's own, run in the broker's container, where `$BROKER` is the broker; and what it wrote."""
        container: Any = self.kafka.get_wrapped_container()
        there = [one.replace("$BROKER", "localhost:9095") for one in words]  # the port that it reaches itself by
        code, (said, _) = container.exec_run([f"/opt/kafka/bin/{there[0]}", *there[1:]], demux=True)
        if code:
            raise SystemExit(f"{words[0]} ended with {code}")
        shown = _below(" ".join(words), screen_of(said.replace(b"\n", b"\r\n"), columns, _ROWS), columns)
        self.keep(name, svg(shown, title, name, columns))

    @contextmanager
    def meanwhile(self, *words: str) -> Iterator[None]:
        """A command beside others, that ends with the block."""
        running = RunningCli((*words, "--quiet"), self.folder, self._env(), self.folder)
        try:
            yield
        finally:
            running.signal(signal.SIGTERM)
            running.wait()

    def quiet(self, *words: str) -> Any:
        """A command's result, without a picture."""
        done = run_cli(*words, "--quiet", "--output", "json", env=self._env(), cwd=self.folder)
        if done.returncode:
            raise SystemExit(done.stderr)
        return json.loads(done.stdout)

    def records(self, topic: str) -> list[Any]:
        """The values of a topic, parsed."""
        return [one.json() for one in read_topic(self.kafka.bootstrap, topic)]

    def customers(self) -> list[Any]:
        """The records of the raw topic that are customers."""
        whole = [one for one in read_topic(self.kafka.bootstrap, TOPICS.raw) if (one.value or b"").endswith(b'Z"}')]
        return [one.json() for one in whole]

    def send(self, records: list[Outgoing]) -> None:
        """They are in the raw topic."""
        send(self.kafka.bootstrap, TOPICS.raw, records)

    def keep(self, name: str, picture: str) -> None:
        """It stands among the documents' images."""
        path = self.images / f"{name}.svg"
        path.write_text(picture)
        self.kept.append(path)

    @contextmanager
    def _typed(self, words: tuple[str, ...], columns: int) -> Iterator[TerminalRun]:
        command = [sys.executable, "-m", "telco_stream", *words, *_PATIENTLY]
        with TerminalRun(command, size=(columns, _ROWS), env=self._env(), cwd=self.folder) as terminal:
            yield terminal

    def _env(self) -> dict[str, str]:
        return {**TOPICS.env(self.kafka.bootstrap), "PYTHONPATH": str(ROOT), "TZ": "UTC"}

    def _keep(self, name: str, words: tuple[str, ...], terminal: TerminalRun, columns: int) -> None:
        shown = _below(f"telco-stream {' '.join(words)}", screen_of(terminal.raw, columns, _ROWS), columns)
        self.keep(name, svg(shown, f"telco-stream {words[0]}", name, columns))


def _below(command: str, shown: Text, columns: int) -> Text:
    """What is shown, below the command as somebody would have typed it; a long one wraps as a terminal wraps."""
    typed = Text.assemble(("$ ", "green"), (command, "bold"))
    rows = typed.divide(range(columns, len(typed), columns))
    return Text("\n").join([*rows, shown])
