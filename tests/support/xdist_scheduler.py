"""Which worker gets what, where tests run side by side; read only then, so that plain pytest needs no xdist."""

from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

from tests.support.parallel_run import xdist_scope


class FixtureScheduler(LoadScopeScheduling):  # type: ignore[misc]  # xdist has no types
    """A test goes to whoever is free; a whole lot does where its tests share what costs something to make."""

    def __init__(self, config: pytest.Config, log: Any) -> None:
        config.option.loadscopereorder = False
        super().__init__(config, log)

    def _split_scope(self, nodeid: str) -> str:
        return xdist_scope(nodeid)
