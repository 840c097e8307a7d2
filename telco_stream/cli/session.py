"""The context of a command: screen, settings, stop request, log and clients."""

import sys
from collections.abc import Mapping
from contextlib import contextmanager, nullcontext
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from telco_stream.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from telco_stream.cli.options import LogFormat, Output
    from telco_stream.contract.schema import Contract
    from telco_stream.display.console import Screen
    from telco_stream.display.consume_view import ConsumeView
    from telco_stream.kafka.clients import Clients
    from telco_stream.model.manifest import Manifest
    from telco_stream.model.reasons.sentences import Sentences
    from telco_stream.model.scorer import Scorer
    from telco_stream.runtime.choices import Engine
    from telco_stream.runtime.signals import Stop
    from telco_stream.settings import LoadedSettings, Settings


class Session:
    """The context of a command, whose parts are created on first use because their imports are slow.

    A command that `writes_to_stdout` itself shows no result there.
    """

    def __init__(
        self,
        output: "Output",
        *,
        quiet: bool,
        verbose: bool,
        live: bool = True,
        log_format: "LogFormat" = None,
        flags: Mapping[str, object] | None = None,
        timeout: float = 10.0,
        writes_to_stdout: bool = False,
    ) -> None:
        from telco_stream.runtime import logs
        from telco_stream.runtime.signals import raise_on_ctrl_c

        raise_on_ctrl_c()
        as_json = log_format == "json"
        if writes_to_stdout and output == "json":
            raise UsageError("Both --output json and the file `-` are stdout; use one of them, or name a file")
        self._output = None if writes_to_stdout else output
        self._quiet = quiet or as_json  # only JSON is expected on stderr
        # A view would be drawn into the file, if both are on the terminal.
        self._live = live and not (writes_to_stdout and sys.stdout.isatty())
        self._flags = flags or {}
        self._timeout = timeout
        as_sentences = log_format is None and sys.stderr.isatty()
        #: Options of the log, for this process and its workers.
        self.log_options = {"quiet": quiet, "verbose": verbose, "as_json": as_json, "as_sentences": as_sentences}
        logs.configure(**self.log_options)
        if sys.stderr.isatty():  # above the live view
            logs.divert(self.log)
        logs.log_versions()

    @cached_property
    def screen(self) -> "Screen":
        """Return the screen for results and messages."""
        from telco_stream.display.console import Screen

        return Screen(self._output, quiet=self._quiet, live=self._live)

    @property
    def has_live_view(self) -> bool:
        """Whether a live view is drawn. The screen, which takes 0.1 s to import, is imported on a terminal only."""
        return self._live and not self._quiet and sys.stderr.isatty() and self.screen.has_live_view

    @contextmanager
    def live(self, make_view: "Callable[[], ConsumeView]") -> "Iterator[None]":
        """Draw the view below the lines on stderr while the block runs, if `has_live_view`."""
        with self.screen.live(make_view()) if self.has_live_view else nullcontext():
            yield

    @cached_property
    def settings(self) -> "Settings":
        """Return the settings."""
        return self.loaded.settings

    @cached_property
    def loaded(self) -> "LoadedSettings":
        """Load the settings with their origins."""
        from telco_stream.settings import load_traced

        return load_traced(self._flags)

    @cached_property
    def stop(self) -> "Stop":
        """Install signal handlers, and return the stop request that they set."""
        from telco_stream.runtime.signals import stop_on_signals

        return stop_on_signals()

    @cached_property
    def clients(self) -> "Clients":
        """Return the factory of Kafka clients."""
        from telco_stream.kafka.clients import Clients

        try:
            return Clients(self.settings, self._timeout)
        except UsageError as error:  # properties that contradict each other
            raise UsageError(self.loaded.in_users_words(str(error))) from None

    def log(self, line: str) -> None:
        """Write a formatted log line to stderr, above the live view if there is one."""
        self.screen.log(line)

    def model_folder(self) -> Path:
        """Return the folder of the configured model, or of the bundled one."""
        from telco_stream.runtime.files import bundled

        return Path(self.settings.model.path or bundled("models/churn"))

    @property
    def model_origin(self) -> str:
        """Folder or topic of the model, as errors name it."""
        return str(self.model_folder())

    @cached_property
    def _published(self) -> "Mapping[str, bytes] | None":
        """Return the files of the version that serves, if the model source is a topic."""
        from telco_stream.runtime.choices import models_topic

        topic = models_topic(self.settings.model.path)
        if topic is None:
            return None
        from telco_stream.registry.topic import ModelTopic

        return ModelTopic(self.clients, topic, self.stop).serving_files()

    def manifest(self, *, required: bool) -> "Manifest | None":
        """Read the manifest of the model; None if it can't be read and is not required."""
        from telco_stream.errors import ModelError
        from telco_stream.model.artifact import manifest_of, read_manifest

        try:
            if self._published is not None:
                return manifest_of(self._published, self.model_origin)
            return read_manifest(self.model_folder())
        except ModelError:
            if required:
                raise
            return None

    def contract(self, file: Path | None = None, *, model_may_be_missing: bool = False) -> "Contract":
        """Read the contract of this file, or else of the model, or else the built-in one.

        Raises `UsageError` if the file is not a contract, and `ModelError` if a configured model has none, or is
        missing unless it may be.
        """
        from telco_stream.contract.document import MAX_BYTES, ContractError, builtin_contract, decode_contract
        from telco_stream.errors import ModelError
        from telco_stream.model.artifact import contract_of, read_contract
        from telco_stream.runtime.files import read_file

        if file is None:
            try:
                if self._published is not None:
                    return contract_of(self._published, self.model_origin)
                return read_contract(self.model_folder())
            except ModelError:
                is_missing = not self.model_folder().exists()
                if self.settings.model.path and not (is_missing and model_may_be_missing):
                    raise
                return builtin_contract()
        try:
            return decode_contract(read_file(file, MAX_BYTES))
        except ContractError as error:
            raise UsageError(f"{file}: {error}") from error

    def sentences(self) -> "Mapping[str, Sentences]":
        """Return the sentences about the features of the model; raises `ModelError` if their file is not readable."""
        from telco_stream.model.artifact import read_sentences_file
        from telco_stream.model.reasons.files import SENTENCES
        from telco_stream.model.reasons.sentences import read_sentences

        files, contract = self._published, self.contract()
        return read_sentences(
            read_sentences_file(self.model_folder()) if files is None else files.get(SENTENCES), contract
        )

    def model_files(self) -> "Mapping[str, bytes]":
        """Read the files of the model; raises `ModelError` if one is missing."""
        from telco_stream.model.artifact import read_folder

        return read_folder(self.model_folder()) if self._published is None else self._published

    def files_of_version(self, version: str) -> "Mapping[str, bytes]":
        """Read the files of a version in the models topic; those of the model, if it is a folder or is not there."""
        from telco_stream.errors import ModelError
        from telco_stream.registry.topic import ModelTopic
        from telco_stream.runtime.choices import models_topic

        topic = models_topic(self.settings.model.path)
        if topic is None:
            return self.model_files()
        models = ModelTopic(self.clients, topic, self.stop)
        try:
            return models.files_of(models.published(version))
        except ModelError:
            return self.model_files()

    def scorer(self, engine: "Engine") -> "Scorer":
        """Check and load the model."""
        from telco_stream.model.artifact import load_files

        return load_files(self.model_files(), self.model_origin, engine)
