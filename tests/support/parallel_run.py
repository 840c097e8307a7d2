"""Several of pytest's workers side by side (`pytest -n`): what stays together, what they share, what runs alone."""

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

#: Begun first, in this order, so that no long one is left at the end.
LONGEST = (
    "tests/faults/",
    "tests/test_guides.py",
    "tests/test_docs.py::test_readme_commands",
    "tests/test_security.py",
    "tests/test_own_pages.py",
    "tests/test_request_errors.py",
    "tests/test_end_to_end.py",
)
#: The cases of a folder share a broker, made once for each of two lots of the same length.
FAULTS = ("tests/faults/test_workers_die.py", "tests/faults/")
_KAFKA, _ALONE = "kafka", "alone"


def is_worker() -> bool:
    """Whether this process is one of several that run the tests."""
    return "PYTEST_XDIST_WORKER" in os.environ


def sort_items(items: list[pytest.Item]) -> None:
    """The fast ones first; side by side it is the longest, and last those that run alone.

    What is left is mixed, always in the same way: a module's tests would all wait at once, or all compute.
    """
    if is_worker():
        items.sort(key=lambda item: (_is(item, _ALONE), _place(item), -_needs(item), _mixed(item)))
    else:
        items.sort(key=_needs)


def xdist_scope(nodeid: str) -> str:
    """What one worker runs in one go: the test by itself, or all that share something with it."""
    module = nodeid.partition("::")[0]
    whole = next((start for start in FAULTS if module.startswith(start)), None)
    return whole or (module if _shares(module) else nodeid)


@contextlib.contextmanager
def run_lock(item: pytest.Item, folder: Path) -> Iterator[None]:
    """While a test that is marked `alone` runs, no other does."""
    with (folder / _ALONE).open("w") as door:
        fcntl.flock(door, fcntl.LOCK_EX if _is(item, _ALONE) else fcntl.LOCK_SH)
        yield


def shared_kafka(folder: Path) -> str:
    """The address of the one Kafka of all workers, which the first who asks has started."""
    place = folder / _KAFKA
    with (folder / f"{_KAFKA}.lock").open("w") as door:
        fcntl.flock(door, fcntl.LOCK_EX)
        if not place.exists():
            with contextlib.ExitStack() as until_known:
                container = until_known.enter_context(KafkaContainer(**SMALL))
                place.write_text(f"{container.get_wrapped_container().id} {container.bootstrap}")
                until_known.pop_all()
    return place.read_text().split()[1]


def remove_shared_kafka(folder: Path) -> None:
    """It is gone, if anybody had asked for it."""
    place = folder / _KAFKA
    if place.exists():
        client = docker.from_env()
        with contextlib.suppress(NotFound):
            client.containers.get(place.read_text().split()[0]).remove(force=True, v=True)
        client.close()


@functools.cache
def _shares(module: str) -> bool:
    return 'scope="module"' in (ROOT / module).read_text()


def _mixed(item: pytest.Item) -> int:
    return zlib.crc32(xdist_scope(item.nodeid).encode())


def _needs(item: pytest.Item) -> int:
    return 2 if _is(item, "own_broker") else 1 if _is(item, "real") else 0


def _place(item: pytest.Item) -> int:
    found = (place for place, start in enumerate(LONGEST) if item.nodeid.startswith(start))
    return next(found, len(LONGEST))


def _is(item: pytest.Item, marker: str) -> bool:
    return item.get_closest_marker(marker) is not None
