"""Prints Airflow's DagBag of the DAGs folder as JSON on the last line; runs in Airflow's Python.

An audit hook records what the import of the DAGs opens, connects or starts.
"""

import json
import os
import sys
import warnings
from collections.abc import Iterator
from typing import Any

from airflow.dag_processing.dagbag import DagBag

EVENTS = {"open", "socket.connect", "subprocess.Popen", "os.system", "os.mkdir"}
recorded: list[str] = []
is_recording = False


def record_event(event: str, args: tuple[Any, ...]) -> None:
    if is_recording and event in EVENTS:
        recorded.append(f"{event} {args[0]}")


def main() -> None:
    global is_recording  # noqa: PLW0603 - an audit hook cannot be removed
    folder = os.environ["AIRFLOW__CORE__DAGS_FOLDER"]
    sys.addaudithook(record_event)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        is_recording = True
        bag = DagBag(folder)
        is_recording = False
    print()
    print(json.dumps(_describe(bag) | {"warnings": [str(warning.message) for warning in caught], "events": recorded}))


def _describe(bag: Any) -> dict[str, Any]:
    return {
        "dags": {name: sorted(dag.task_ids) for name, dag in bag.dags.items()},
        "edges": {name: sorted(_edges(dag)) for name, dag in bag.dags.items()},
        "params": {
            name: {key: dag.params.get_param(key).schema for key in dag.params} for name, dag in bag.dags.items()
        },
        "seconds": {stat.file: stat.duration.total_seconds() for stat in bag.dagbag_stats},
        "import_errors": {str(path): str(error) for path, error in bag.import_errors.items()},
        "captured": {str(path): list(map(str, caught)) for path, caught in bag.captured_warnings.items() if caught},
    }


def _edges(dag: Any) -> Iterator[list[str]]:
    for task in dag.tasks:
        yield from ([task.task_id, after] for after in task.downstream_task_ids)


main()
