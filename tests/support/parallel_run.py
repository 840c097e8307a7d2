"""Parallel test runs (`pytest -n`): the order of tests, what workers share, and tests that must run alone."""

import contextlib
import fcntl
import functools
import os
import zlib
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest
from docker.errors import NotFound

from tests.support.cli import ROOT
from tests.support.kafka_container import SMALL, KafkaContainer
from tests.support.topics import create_internal_topics

#: Tests that start first, in this order, so that no long test is left for the end.
LONGEST = (
    "tests/faults/",
    "tests/pages/",
    "tests/test_security.py",
    "tests/test_report_html_browser.py",
    "tests/test_advertised.py",
    "tests/test_docs.py::test_readme_commands",
    "tests/test_request_errors.py",
    "tests/test_end_to_end.py",
    "tests/test_produce_real.py",
)
#: Groups of fault tests by path prefix; those of a group share a broker, or start their own.
FAULTS = (
    "tests/faults/test_workers_die.py",
    "tests/faults/test_access_lost.py",
    "tests/faults/test_outages.py",
    "tests/faults/test_full_disk.py",
    "tests/faults/test_poison_stream.py",
    "tests/faults/test_folders.py",
    "tests/faults/",
)
#: What the text of a module contains if its tests share a fixture: its own, or one of conftest.py.
MODULE_FIXTURES = ('scope="module"', "secured_kafka", "unreachable_kafka")
_KAFKA, _ALONE = "kafka", "alone"


def is_worker() -> bool:
    """Return whether this process is an xdist worker."""
    return "PYTEST_XDIST_WORKER" in os.environ


def sort_items(items: list[pytest.Item]) -> None:
    """Sort fast tests first; in a parallel run sort the longest first and tests marked `alone` last.

    The rest is shuffled, always in the same way: the tests of one module would all wait, or all compute, at once.
    """
    if is_worker():
        items.sort(
            key=lambda item: (_has_marker(item, _ALONE), _priority(item), -_broker_cost(item), _shuffle_key(item))
        )
    else:
        items.sort(key=_broker_cost)


def xdist_scope(nodeid: str) -> str:
    """Return the group of tests that one worker runs together: the test alone, or all that share a fixture with it."""
    module = nodeid.partition("::")[0]
    group = next((prefix for prefix in FAULTS if module.startswith(prefix)), None)
    return group or (module if _has_module_fixture(module) else nodeid)


@contextlib.contextmanager
def run_lock(item: pytest.Item, folder: Path) -> Iterator[None]:
    """Hold a lock while the test runs: exclusive for tests marked `alone`, shared for others."""
    with (folder / _ALONE).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX if _has_marker(item, _ALONE) else fcntl.LOCK_SH)
        yield


def shared_kafka(folder: Path) -> str:
    """Return the address of the Kafka that all workers share; the first caller starts it."""
    path = folder / _KAFKA
    with (folder / f"{_KAFKA}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not path.exists():
            with contextlib.ExitStack() as on_error:
                container = on_error.enter_context(KafkaContainer(**SMALL))
                create_internal_topics(container.bootstrap)
                path.write_text(f"{container.get_wrapped_container().id} {container.bootstrap}")
                on_error.pop_all()
    return path.read_text().split()[1]


def remove_shared_kafka(folder: Path) -> None:
    """Remove the shared Kafka container if one was started."""
    path = folder / _KAFKA
    if path.exists():
        client = docker.from_env()
        with contextlib.suppress(NotFound):
            client.containers.get(path.read_text().split()[0]).remove(force=True, v=True)
        client.close()


@functools.cache
def _has_module_fixture(module: str) -> bool:
    text = (ROOT / module).read_text()
    return any(fixture in text for fixture in MODULE_FIXTURES)


def _shuffle_key(item: pytest.Item) -> int:
    return zlib.crc32(xdist_scope(item.nodeid).encode())


def _broker_cost(item: pytest.Item) -> int:
    return 2 if _has_marker(item, "own_broker") else 1 if _has_marker(item, "real") else 0


def _priority(item: pytest.Item) -> int:
    priorities = (index for index, prefix in enumerate(LONGEST) if item.nodeid.startswith(prefix))
    return next(priorities, len(LONGEST))


def _has_marker(item: pytest.Item, marker: str) -> bool:
    return item.get_closest_marker(marker) is not None
