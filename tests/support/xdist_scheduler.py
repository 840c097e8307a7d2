"""The xdist scheduler of the test suite; imported only under xdist, so that plain pytest does not need it."""

from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

from tests.support.parallel_run import xdist_scope


class FixtureScheduler(LoadScopeScheduling):  # type: ignore[misc]  # xdist has no types
    """Assigns single tests to free workers, and tests that share expensive fixtures to one worker together."""

    def __init__(self, config: pytest.Config, log: Any) -> None:
        config.option.loadscopereorder = False
        super().__init__(config, log)

    def _split_scope(self, nodeid: str) -> str:
        return xdist_scope(nodeid)
