"""Start-up times: of `--help`, and from process start to the first prediction."""

import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable

from confluent_kafka import Consumer

from benchmarks.figures import Figures, figure
from benchmarks.processes import clean_environment, cli
from benchmarks.session import BenchSession

#: A command with one option, to measure Typer itself.
ONE_COMMAND = "import typer\ndef main(name: str = 'x') -> None:\n    '''Say it.'''\n    print(name)\ntyper.run(main)\n"
REPEATED = 7
#: Number of starts; the slowest of them shows how often the client has to wait for its transaction coordinator.
STARTS = 20


def measure(session: BenchSession, is_selected: Callable[[str], bool]) -> Figures:
    """Measure each start-up time several times."""
    figures: Figures = {}
    if is_selected("help"):
        figures |= _help(session)
    if is_selected("start"):
        figures |= _start(session)
    return figures


def _help(session: BenchSession) -> Figures:
    script = session.folder / "one_command.py"
    script.write_text(ONE_COMMAND)
    commands = {"help": cli("--help"), "help of one Typer command": [sys.executable, str(script), "--help"]}
    seconds: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(REPEATED * session.counts.runs):
        for name, command in commands.items():
            started = time.perf_counter()
            subprocess.run(command, check=True, capture_output=True, env=clean_environment({}), cwd=session.folder)
            seconds[name].append(time.perf_counter() - started)
    return {name: {"seconds": figure(values, 3)} for name, values in seconds.items()}


def _start(session: BenchSession) -> Figures:
    """Measure a run of one record, minus the time of a bare client with the same properties.

    The bare client joins the group, gets the record and leaves the group.
    """
    totals, clients, differences = [], [], []
    for _ in range(STARTS):
        wall, joining = session.consume(1).wall, _bare_client(session)
        totals.append(wall)
        clients.append(joining)
        differences.append(wall - joining)
    names = ("start to the end of one record", "a bare client's part of it", "start")
    slowest = sorted(differences)[-2]
    print(f"  start: {statistics.median(differences):.2f} s without the client", file=sys.stderr)
    return {
        name: {"seconds": figure(values, 3)} for name, values in zip(names, (totals, clients, differences), strict=True)
    } | {"19 of 20 starts": {"seconds": figure([slowest], 3)}}


def _bare_client(session: BenchSession) -> float:
    """Return the seconds from subscribing to the first record plus those for leaving the group."""
    assigned = threading.Event()
    consumer = Consumer(session.properties(session.topics.unique_name("group"))["consumer"])
    started = time.perf_counter()
    consumer.subscribe([session.raw], on_assign=lambda *_: assigned.set())
    while consumer.poll(0.5) is None:
        pass
    consumer.close()
    return time.perf_counter() - started
