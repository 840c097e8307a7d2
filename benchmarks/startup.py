"""How long it takes to begin: a `--help`, and the first prediction after a process's start."""

import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable

from confluent_kafka import Consumer

from benchmarks.bench import Bench
from benchmarks.measured import Figures, figure
from benchmarks.processes import cli, surroundings

#: A command of one option: what Typer itself costs.
ONE_COMMAND = "import typer\ndef main(name: str = 'x') -> None:\n    '''Say it.'''\n    print(name)\ntyper.run(main)\n"
REPEATED = 7


def measure(bench: Bench, wanted: Callable[[str], bool]) -> Figures:
    """Seconds, each several times over."""
    found: Figures = {}
    if wanted("help"):
        found |= _help(bench)
    if wanted("start"):
        found |= _start(bench)
    return found


def _help(bench: Bench) -> Figures:
    script = bench.folder / "one_command.py"
    script.write_text(ONE_COMMAND)
    commands = {"help": cli("--help"), "help of one Typer command": [sys.executable, str(script), "--help"]}
    seconds: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(REPEATED * bench.counts.runs):
        for name, command in commands.items():
            started = time.perf_counter()
            subprocess.run(command, check=True, capture_output=True, env=surroundings({}), cwd=bench.folder)
            seconds[name].append(time.perf_counter() - started)
    return {name: {"seconds": figure(some, 3)} for name, some in seconds.items()}


def _start(bench: Bench) -> Figures:
    """From start to the end of a run of one record, less what a bare client of the same properties takes for its part.

    That part is to join the group, to get the record, and to leave the group.
    """
    whole, client, own = [], [], []
    for _ in range(max(3, bench.counts.runs)):
        wall, joining = bench.consume(1).wall, _bare_client(bench)
        whole.append(wall)
        client.append(joining)
        own.append(wall - joining)
    names = ("start to the end of one record", "a bare client's part of it", "start")
    print(f"  start: {statistics.median(own):.2f} s of its own", file=sys.stderr)
    return {name: {"seconds": figure(some, 3)} for name, some in zip(names, (whole, client, own), strict=True)}


def _bare_client(bench: Bench) -> float:
    """Seconds from subscribing to the first record, and for leaving."""
    given = threading.Event()
    consumer = Consumer(bench.properties(bench.topics.fresh("group"))["consumer"])
    started = time.perf_counter()
    consumer.subscribe([bench.raw], on_assign=lambda *_: given.set())
    while consumer.poll(0.5) is None:
        pass
    consumer.close()
    return time.perf_counter() - started
