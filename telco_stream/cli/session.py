"""The context of a command: screen, settings, stop request, log and clients."""

import logging
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from telco_stream.cli.options import LogFormat, Output
    from telco_stream.display.console import LiveView, Screen
    from telco_stream.kafka.clients import Clients
    from telco_stream.kafka.cluster import Cluster
    from telco_stream.model.scorer import Scorer
    from telco_stream.runtime.choices import Engine
    from telco_stream.runtime.signals import Stop
    from telco_stream.settings import Settings


class Session:
    """The context of a command, whose parts are created on first use because their imports are slow.

    `errors_only` limits the log to errors unless it is verbose.
    """

    def __init__(
        self,
        output: "Output" = "table",
        *,
        quiet: bool = False,
        verbose: bool = False,
        errors_only: bool = False,
        live: bool = True,
        log_format: "LogFormat" = "text",
        flags: Mapping[str, object] | None = None,
        timeout: float = 10.0,
    ) -> None:
        from telco_stream.runtime import logs
        from telco_stream.runtime.signals import raise_on_ctrl_c

        raise_on_ctrl_c()
        self._output = output
        as_json = log_format == "json"
        self._quiet = quiet or as_json  # only JSON is expected on stderr
        self._live = live
        self._flags = dict(flags or {})
        self.timeout = timeout
        #: Options of the log, for this process and its workers.
        self.log_options = {"quiet": quiet, "verbose": verbose, "as_json": as_json}
        logs.configure(**self.log_options)
        if errors_only and not verbose:
            logs.log.setLevel(logging.ERROR)
        logs.divert(self._log)

    @cached_property
    def screen(self) -> "Screen":
        """Return the screen for results and messages."""
        from telco_stream.display.console import Screen

        return Screen(self._output, quiet=self._quiet)

    @cached_property
    def settings(self) -> "Settings":
        """Load the settings."""
        from telco_stream.settings import load

        return load(self._flags)

    @cached_property
    def stop(self) -> "Stop":
        """Install signal handlers, and return the stop request that they set."""
        from telco_stream.runtime.signals import stop_on_signals

        return stop_on_signals()

    @cached_property
    def clients(self) -> "Clients":
        """Return the factory of Kafka clients."""
        from telco_stream.kafka.clients import Clients

        return Clients(self.settings, self.timeout)

    @cached_property
    def cluster(self) -> "Cluster":
        """Return the cluster for checks before the first record."""
        from telco_stream.kafka.cluster import Cluster

        return Cluster(self.clients, self.stop)

    @property
    def has_live_view(self) -> bool:
        """Return whether the command draws a live view."""
        return self._live and self.screen.has_live_view

    def live(self, view: "LiveView") -> AbstractContextManager[object]:
        """Draw the view while the block runs, if stderr is a terminal."""
        return self.screen.live(view) if self._live else nullcontext()

    def _log(self, line: str) -> None:
        self.screen.log(line)

    def model_folder(self) -> Path:
        """Return the folder of the configured model, or of the bundled one."""
        from telco_stream.runtime.files import bundled

        if self.settings.model.path is not None:
            return Path(self.settings.model.path)
        return bundled("models/churn")

    def scorer(self, engine: "Engine") -> "Scorer":
        """Check and load the model."""
        from telco_stream.model.artifact import load_scorer

        return load_scorer(self.model_folder(), engine, self.settings.consumer.scoring_threads)
