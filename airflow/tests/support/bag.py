"""Run by Airflow's own Python: what its DagBag says of the DAGs' folder, as one JSON object on the last line.

What is opened, connected or started while it reads them is heard by an audit hook.
"""

import json
import os
import sys
import warnings
from collections.abc import Iterator
from typing import Any

from airflow.dag_processing.dagbag import DagBag

EVENTS = {"open", "socket.connect", "subprocess.Popen", "os.system", "os.mkdir"}
handle: list[str] = []
listening = False


def hear(event: str, args: tuple[Any, ...]) -> None:
    if listening and event in EVENTS:
        handle.append(f"{event} {args[0]}")


def main() -> None:
    global listening  # noqa: PLW0603 - an audit hook can't be taken away again
    folder = os.environ["AIRFLOW__CORE__DAGS_FOLDER"]
    sys.addaudithook(hear)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        listening = True
        bag = DagBag(folder)
        listening = False
    print()
    print(json.dumps(_told(bag) | {"warnings": [str(one.message) for one in caught], "heard": handle}))


def _told(bag: Any) -> dict[str, Any]:
    return {
        "dags": {name: sorted(dag.task_ids) for name, dag in bag.dags.items()},
        "edges": {name: sorted(_edges(dag)) for name, dag in bag.dags.items()},
        "params": {
            name: {key: dag.params.get_param(key).schema for key in dag.params} for name, dag in bag.dags.items()
        },
        "seconds": {stat.file: stat.duration.total_seconds() for stat in bag.dagbag_stats},
        "import_errors": {str(path): str(error) for path, error in bag.import_errors.items()},
        "captured": {str(path): [str(one) for one in found] for path, found in bag.captured_warnings.items() if found},
    }


def _schemas(params: Any) -> dict[str, Any]:
    return {name: params.get_param(name).schema for name in params}


def _edges(dag: Any) -> Iterator[list[str]]:
    for task in dag.tasks:
        yield from ([task.task_id, after] for after in task.downstream_task_ids)


main()
