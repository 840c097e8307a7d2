"""Runs commands on a real Kafka and draws their terminals for the documentation."""

import json
import os
import signal
import subprocess
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
#: Rows of the terminal; an image has only the written rows.
_ROWS = 100
#: Not part of the image: a long timeout for busy machines.
_TIMEOUT = ("--timeout", "60")
#: Compose project of `make up`, so that its containers and topics are not the reader's.
PROJECT = "telco-stream-images"
#: The old Compose builds without Docker's command line, which would warn.
MAKE_ENV = {"TZ": "UTC", "COMPOSE_PROJECT_NAME": PROJECT, "COMPOSE_DOCKER_CLI_BUILD": "0"}
#: Invalid records, which become dead letters.
BROKEN: list[Outgoing] = [
    ("7590-VHVEG", b'{"customerID": "7590-VHVEG", tenure: 1', []),
    ("5575-GNVDE", b'{"customerID": "5575-GNVDE"}', []),
    ("3668-QPYBK", b"\xff\xfe\x00", []),
]


@dataclass(frozen=True, slots=True)
class Studio:
    """A broker, the working folder of the commands and the folder for the images."""

    kafka: KafkaContainer
    folder: Path
    images: Path
    #: Paths of the written images.
    written: list[Path] = field(default_factory=list)

    def shot(self, name: str, *words: str, columns: int = 80) -> None:
        """Draw the terminal after a command has ended."""
        with self._running(words, columns) as terminal:
            if terminal.end(120):
                raise SystemExit("\n".join(terminal.everything()))
            self._draw(name, f"telco-stream {' '.join(words)}", terminal, columns)

    def live(self, name: str, *words: str, until: Iterable[str], columns: int = 80) -> None:
        """Draw the terminal of a running command once it shows these texts, and stop the command."""
        with self._running(words, columns) as terminal:
            for text in until:
                terminal.wait_for(text, 60)
            self._draw(name, f"telco-stream {' '.join(words)}", terminal, columns)
            terminal.press(b"\x03")
            terminal.end(60)

    def make(self, name: str, target: str, columns: int = 80) -> None:
        """Draw the terminal after `make TARGET`, which starts a Kafka for itself if it needs one."""
        with TerminalRun(["make", target], size=(columns, _ROWS), env=MAKE_ENV, cwd=ROOT) as terminal:
            if terminal.end(1_200):
                raise SystemExit("\n".join(terminal.everything()))
            self._draw(name, f"make {target}", terminal, columns)

    def remove_containers(self) -> None:
        """Remove the containers of `make up` and their volumes."""
        subprocess.run(["make", "down"], cwd=ROOT, env=os.environ | MAKE_ENV, check=True)
        label = f"label=com.docker.compose.project={PROJECT}"
        listed = subprocess.run(
            ["docker", "volume", "ls", "--quiet", "--filter", label], check=True, capture_output=True, text=True
        )
        for volume in listed.stdout.split():
            subprocess.run(["docker", "volume", "rm", volume], check=True)

    def kafka_tool(self, name: str, title: str, *words: str, columns: int = 80) -> None:
        """Draw the output of a Kafka tool that runs in the broker's container; `$BROKER` is the broker's address."""
        container: Any = self.kafka.get_wrapped_container()
        program, *arguments = [word.replace("$BROKER", "localhost:9095") for word in words]  # its inter-broker listener
        code, (output, _) = container.exec_run([f"/opt/kafka/bin/{program}", *arguments], demux=True)
        if code:
            raise SystemExit(f"{words[0]} exited with {code}")
        shown = _with_command(" ".join(words), screen_of(output.replace(b"\n", b"\r\n"), columns, _ROWS), columns)
        self.save(name, svg(shown, title, name, columns))

    @contextmanager
    def meanwhile(self, *words: str) -> Iterator[None]:
        """Run a command in the background while the block runs."""
        running = RunningCli((*words, "--quiet"), self.folder, self._env(), self.folder)
        try:
            yield
        finally:
            running.signal(signal.SIGTERM)
            running.wait()

    def quiet(self, *words: str) -> Any:
        """Return the result of a command without drawing it."""
        run = run_cli(*words, "--quiet", "--output", "json", env=self._env(), cwd=self.folder)
        if run.returncode:
            raise SystemExit(run.stderr)
        return json.loads(run.stdout)

    def records(self, topic: str) -> list[Any]:
        """Return the parsed values of a topic."""
        return [record.json() for record in read_topic(self.kafka.bootstrap, topic)]

    def customers(self) -> list[Any]:
        """Return the customers of the raw topic."""
        records = read_topic(self.kafka.bootstrap, TOPICS.raw)
        return [record.json() for record in records if (record.value or b"").endswith(b'Z"}')]

    def send(self, records: list[Outgoing]) -> None:
        """Send records to the raw topic."""
        send(self.kafka.bootstrap, TOPICS.raw, records)

    def save(self, name: str, image: str) -> None:
        """Write an SVG to the folder of the images."""
        path = self.images / f"{name}.svg"
        path.write_text(image)
        self.written.append(path)

    @contextmanager
    def _running(self, words: tuple[str, ...], columns: int) -> Iterator[TerminalRun]:
        command = ["telco-stream", *words, *(() if words[0] == "contract" else _TIMEOUT)]
        with TerminalRun(command, size=(columns, _ROWS), env=self._env(), cwd=self.folder) as terminal:
            yield terminal

    def _env(self) -> dict[str, str]:
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        return {**TOPICS.env(self.kafka.bootstrap), "PATH": path, "PYTHONPATH": str(ROOT), "TZ": "UTC"}

    def _draw(self, name: str, command: str, terminal: TerminalRun, columns: int) -> None:
        shown = _with_command(command, screen_of(terminal.raw, columns, _ROWS), columns)
        self.save(name, svg(shown, " ".join(command.split()[:2]), name, columns))


def _with_command(command: str, shown: Text, columns: int) -> Text:
    """Put the screen below the command line, which wraps as in a terminal."""
    typed = Text.assemble(("$ ", "green"), (command, "bold"))
    rows = typed.divide(range(columns, len(typed), columns))
    return Text("\n").join([*rows, shown])
