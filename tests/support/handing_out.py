"""Which worker gets what, where tests run side by side; read only then, so that plain pytest needs no xdist."""

import functools
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

from tests.support.cli import ROOT

#: These make a broker of their own once for many tests; the faults are two lots of the same length.
WITH_A_BROKER = ("tests/faults/test_workers_die.py", "tests/faults/", "tests/test_security.py")


class ByFixtures(LoadScopeScheduling):  # type: ignore[misc]  # xdist has no types
    """A test goes to whoever is free; a whole module does where its tests share what costs something to make."""

    def __init__(self, config: pytest.Config, log: Any) -> None:
        config.option.loadscopereorder = False
        super().__init__(config, log)

    def _split_scope(self, nodeid: str) -> str:
        module = nodeid.partition("::")[0]
        lot = next((start for start in WITH_A_BROKER if module.startswith(start)), module)
        return lot if lot != module or _shares(module) else nodeid


@functools.cache
def _shares(module: str) -> bool:
    return module in WITH_A_BROKER or 'scope="module"' in (ROOT / module).read_text()
