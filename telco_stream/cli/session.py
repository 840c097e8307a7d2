"""What every command sets up: the screen, the settings, the wish to stop, the log."""

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
    """One command's surroundings, each part made when it is first asked for, so that none costs a command without it.

    `calm` keeps the log to errors where a command's own words say enough.
    """

    def __init__(
        self,
        output: "Output" = "table",
        *,
        quiet: bool = False,
        verbose: bool = False,
        calm: bool = False,
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
        self._quiet = quiet or as_json  # where only JSON is expected, bars and headings have no place
        self._live = live
        self._flags = dict(flags or {})
        self.timeout = timeout
        #: How the log is set up, here and in processes that work for this one.
        self.talk = {"quiet": quiet, "verbose": verbose, "as_json": as_json}
        logs.configure(**self.talk)
        if calm and not verbose:
            logs.log.setLevel(logging.ERROR)
        logs.divert(self._log)

    @cached_property
    def screen(self) -> "Screen":
        """Where results and talk go."""
        from telco_stream.display.console import Screen

        return Screen(self._output, quiet=self._quiet)

    @cached_property
    def settings(self) -> "Settings":
        """The settings in force."""
        from telco_stream.settings import load

        return load(self._flags)

    @cached_property
    def stop(self) -> "Stop":
        """The wish to stop, from here on set by SIGINT and SIGTERM."""
        from telco_stream.runtime.signals import stop_on_signals

        return stop_on_signals()

    @cached_property
    def clients(self) -> "Clients":
        """The factory of the clients."""
        from telco_stream.kafka.clients import Clients

        return Clients(self.settings, self.timeout)

    @cached_property
    def cluster(self) -> "Cluster":
        """The cluster, to ask before the first record."""
        from telco_stream.kafka.cluster import Cluster

        return Cluster(self.clients, self.stop)

    @property
    def has_live_view(self) -> bool:
        """Whether a live view of the run would be seen."""
        return self._live and self.screen.has_live_view

    def live(self, view: "LiveView") -> AbstractContextManager[object]:
        """Draw the view on a terminal while the block runs."""
        return self.screen.live(view) if self._live else nullcontext()

    def _log(self, line: str) -> None:
        self.screen.log(line)

    def model_folder(self) -> Path:
        """Return the folder of the model that is set, else of the bundled one."""
        from telco_stream.runtime.bundled import bundled

        if self.settings.model.path is not None:
            return Path(self.settings.model.path)
        return bundled("models/churn")

    def scorer(self, engine: "Engine") -> "Scorer":
        """The model, checked and loaded."""
        from telco_stream.model.artifact import load_scorer

        return load_scorer(self.model_folder(), engine, self.settings.consumer.scoring_threads)
