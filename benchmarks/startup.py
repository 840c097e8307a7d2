"""Start-up times: of `--help`, and from process start to the first prediction."""

import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import closing

from confluent_kafka import Consumer, TopicPartition

from benchmarks.broker import PARTITIONS
from benchmarks.figures import Figures, figure
from benchmarks.processes import Process, clean_environment, cli, run
from benchmarks.session import BenchSession

#: A command with one option, to measure Typer itself.
ONE_COMMAND = "import typer\ndef main(name: str = 'x') -> None:\n    '''Say it.'''\n    print(name)\ntyper.run(main)\n"
REPEATED = 7
#: Number of starts; the slowest of them shows how often the client has to wait for its transaction coordinator.
STARTS = 20
#: Starts before these, not counted: a broker that has just started runs code that is not compiled yet.
WARM_UP = 15


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
    """Measure the time from the start of the process until a reader has the first prediction.

    A bare client with the same properties, which joins a group, gets a record and leaves, takes a part of it.
    """
    for _ in range(WARM_UP):
        _first_prediction(session)
    firsts, clients = [], []
    for _ in range(STARTS):
        firsts.append(_first_prediction(session))
        clients.append(_bare_client(session))
    slowest = sorted(firsts)[-2]
    print(f"  start: {statistics.median(firsts):.2f} s, {statistics.median(clients):.2f} s bare", file=sys.stderr)
    return {
        "start": {"seconds": figure(firsts, 3)},
        "19 of 20 starts": {"seconds": figure([slowest], 3)},
        "a bare client": {"seconds": figure(clients, 3)},
    }


def _first_prediction(session: BenchSession) -> float:
    """Return the seconds from the start of `consume` to the first committed prediction."""
    with session.topics.temporary_topics("out", "letters") as (out, letters), closing(_reader(session, out)) as reader:
        env = session.env(session.raw, out, letters, session.topics.unique_name("group"))
        started = time.perf_counter()
        seconds: list[float] = []

        def wait(process: Process) -> None:
            while process.is_alive() and reader.poll(0.1) is None:
                pass
            seconds.append(time.perf_counter() - started)

        run(cli("consume", "--quiet", "--output", "json"), env, session.folder, wait)
        return seconds[0]


def _reader(session: BenchSession, topic: str) -> Consumer:
    """Return a consumer that waits for the first committed record of a topic."""
    properties = session.properties(session.topics.unique_name("reader"))["consumer"] | {"fetch.wait.max.ms": "10"}
    reader = Consumer(properties)
    reader.assign([TopicPartition(topic, partition, 0) for partition in range(PARTITIONS)])
    reader.poll(0.5)
    return reader


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
