"""Several of pytest's workers side by side (`pytest -n`): what stays together, what they share, what runs alone."""

import contextlib
import fcntl
import functools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
import pytest
from docker.errors import NotFound
from xdist.scheduler import LoadScopeScheduling

from tests.support.cli import ROOT
from tests.support.kafka_container import SMALL, KafkaContainer

#: Begun first, in this order, so that no long one is left at the end.
LONGEST = (
    "tests/faults/",
    "tests/test_guides.py",
    "tests/test_docs.py::test_every_command_line",
    "tests/test_security.py",
    "tests/test_own_pages.py",
    "tests/test_request_errors.py",
    "tests/test_end_to_end.py",
)
#: These make a broker of their own once for many tests; the faults are two lots of the same length.
WITH_A_BROKER = ("tests/faults/test_workers_die.py", "tests/faults/", "tests/test_security.py")
_KAFKA, _ALONE = "kafka", "alone"


class ByFixtures(LoadScopeScheduling):  # type: ignore[misc]  # xdist has no types
    """A test goes to whoever is free; a whole module does where its tests share what costs something to make."""

    def __init__(self, config: pytest.Config, log: Any) -> None:
        config.option.loadscopereorder = False
        super().__init__(config, log)

    def _split_scope(self, nodeid: str) -> str:
        module = nodeid.partition("::")[0]
        lot = next((start for start in WITH_A_BROKER if module.startswith(start)), module)
        return lot if lot != module or _shares(module) else nodeid


def is_worker() -> bool:
    """Whether this process is one of several that run the tests."""
    return "PYTEST_XDIST_WORKER" in os.environ


def put_in_order(items: list[pytest.Item]) -> None:
    """The fast ones first; side by side it is the longest, and last those that run alone."""
    if is_worker():
        items.sort(key=lambda item: (_is(item, _ALONE), _place(item), -_needs(item)))
    else:
        items.sort(key=_needs)


@contextlib.contextmanager
def alone_or_not(item: pytest.Item, folder: Path) -> Iterator[None]:
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


def end_shared_kafka(folder: Path) -> None:
    """It is gone, if anybody had asked for it."""
    place = folder / _KAFKA
    if place.exists():
        client = docker.from_env()
        with contextlib.suppress(NotFound):
            client.containers.get(place.read_text().split()[0]).remove(force=True, v=True)
        client.close()


@functools.cache
def _shares(module: str) -> bool:
    return module in WITH_A_BROKER or 'scope="module"' in (ROOT / module).read_text()


def _needs(item: pytest.Item) -> int:
    return 2 if _is(item, "own_broker") else 1 if _is(item, "real") else 0


def _place(item: pytest.Item) -> int:
    found = (place for place, start in enumerate(LONGEST) if item.nodeid.startswith(start))
    return next(found, len(LONGEST))


def _is(item: pytest.Item, marker: str) -> bool:
    return item.get_closest_marker(marker) is not None
