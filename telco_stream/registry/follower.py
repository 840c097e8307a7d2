"""Follows the models topic in a background thread, and replaces the models of a run between two batches."""

import logging
import queue
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from uuid import uuid4

from telco_stream.errors import KafkaError, ModelError, TelcoStreamError, UsageError
from telco_stream.kafka.blocking_calls import Deadline
from telco_stream.kafka.clients import Clients
from telco_stream.kafka.tail import Tail
from telco_stream.messages.record import Message, Record
from telco_stream.model.reasons.request import ReasonRequest
from telco_stream.model.serving import Models, Trial
from telco_stream.registry.candidates import Candidates, Verdict
from telco_stream.registry.gate import GateLimits
from telco_stream.registry.records import RoleChange, WorkerReport, encode_report, encode_role_change
from telco_stream.registry.roles import Published, Registry, fold
from telco_stream.registry.topic import PARTITION, ModelTopic, no_serving_version, valid_entries
from telco_stream.runtime.choices import Engine
from telco_stream.runtime.clock import utc_timestamp
from telco_stream.runtime.signals import Stop, Stopped
from telco_stream.settings import Settings

log = logging.getLogger("telco_stream.registry")

#: Seconds of a poll, between two looks at the topic before a version serves, and before the next try after an error.
_POLL_SECONDS, _START_SECONDS, _RETRY_SECONDS = 0.1, 0.2, 1.0
#: Seconds between two checks that the topic is still the same.
_CHECK_SECONDS = 5.0
#: Seconds that the thread may take to end.
_END_SECONDS = 2.0


def wait_for_models(
    clients: Clients, topic: str, engine: Engine, stop: Stop, reasons: ReasonRequest | None = None
) -> Models:
    """Wait for a serving version, and return its models, which do not follow the topic; see `follow_models`."""
    return _Follower(clients, topic, engine, stop, reasons).wait_for_models()


@contextmanager
def follow_models(
    clients: Clients, topic: str, engine: Engine, stop: Stop, reasons: ReasonRequest | None = None
) -> Iterator[Models]:
    """Wait for a serving version, and yield the models, which follow the topic while the block runs.

    Raises `KafkaError` without the rights to the topic, and `ModelError` if no version serves within the timeout.
    """
    follower = _Follower(clients, topic, engine, stop, reasons)
    models = follower.wait_for_models()
    thread = threading.Thread(target=follower.run, name="model-follower", daemon=True)
    thread.start()
    try:
        yield models
    finally:
        follower.end.set()
        thread.join(_END_SECONDS)


class _Follower:
    """State of the topic as this process has read it, and the models that follow from it."""

    def __init__(self, clients: Clients, topic: str, engine: Engine, stop: Stop, reasons: ReasonRequest | None) -> None:
        if engine == "sklearn":
            raise UsageError(f"--engine sklearn needs a model folder: topic {topic} has no pickles")
        self.end = threading.Event()
        self._clients = clients
        self._stop = stop
        self._topic = ModelTopic(clients, topic, stop, writes=True)
        self._candidates = Candidates(self._read_files, engine, gate_limits(clients.settings), reasons)
        self._registry = Registry()
        self._worker = clients.worker
        self._models: Models | None = None
        #: Versions that have failed in the loop, with the reason; the dict has those that are to be rolled back.
        self._failed: queue.SimpleQueue[tuple[str, str]] = queue.SimpleQueue()
        self._rollbacks: dict[str, str] = {}
        self._reports: list[Message] = []
        self._write_at = 0.0
        self._has_failed = False

    def wait_for_models(self) -> Models:
        """Read the topic until a version can serve."""
        settings, deadline = self._clients.settings.model, Deadline(self._clients.timeout)
        while True:
            self._registry = self._topic.registry()
            serving = self._candidates.select(self._registry)
            verdicts = self._candidates.take_verdicts()
            if serving is not None:
                break
            if verdicts or deadline.has_passed:
                raise _refusal(self._topic.name, verdicts)
            if self._stop.wait(_START_SECONDS):
                raise Stopped
        self._models = models = Models(serving, Trial(max_failures=settings.rollback_failures), settings.gate_records)
        models.on_rollback = lambda version, reason: self._failed.put((version, reason))
        self._announce(verdicts)
        return models

    def run(self) -> None:
        """Follow the topic until the end; an error is logged, and the current models keep serving."""
        with suppress(Stopped):
            while not self._is_ending():
                try:
                    self._follow()
                except TelcoStreamError as error:
                    self._log_error(error)
                    self.end.wait(_RETRY_SECONDS)

    def _follow(self) -> None:
        """Read up to the end of the topic, so that earlier role changes have no effect, and then each new record."""
        if self._has_failed:  # it may have been deleted and created again
            self._topic = ModelTopic(self._clients, self._topic.name, self._stop, writes=True)
        topic_id = self._topic.topic_id()
        before, self._registry = self._registry, self._topic.registry()
        self._log_rollbacks(len(before.history))
        self._update()
        self._has_failed = False
        tail = Tail(self._clients, self._topic.name, PARTITION, self._topic.position)
        try:
            checked_at = time.monotonic()
            while not self._is_ending():
                self._write_rollbacks()
                if (record := tail.poll(_POLL_SECONDS)) is not None:
                    self._receive(record)
                else:
                    self._write_reports()
                if time.monotonic() - checked_at > _CHECK_SECONDS:
                    checked_at = time.monotonic()
                    self._check(topic_id)
        finally:
            tail.close()

    def _check(self, topic_id: str | None) -> None:
        """Raise `KafkaError` if the topic is another one, which the client would not notice for minutes."""
        if self._topic.topic_id() != topic_id:
            raise KafkaError(f"Topic {self._topic.name} was deleted and created again")

    def _log_error(self, error: TelcoStreamError) -> None:
        """Log the first of several errors in a row."""
        if not self._has_failed:
            facts = {"topic": self._topic.name, "error": str(error)}
            text = "the models topic can't be followed; the current model keeps serving: %s"
            log.warning(text, error, extra={"event": "models_unavailable", "facts": facts})
        self._has_failed = True

    def _receive(self, record: Record) -> None:
        """Fold a record, and replace the models if a role or an archive has changed."""
        before = self._registry
        self._registry = fold(valid_entries([record], self._topic.signing_key), before)
        if self._registry.roles == before.roles and self._registry.published == before.published:
            return
        self._log_rollbacks(len(before.history))
        self._update()

    def _update(self) -> None:
        models = self._require_models()
        serving = self._candidates.select(self._registry, models.recent)
        if serving is not None:
            models.serving = serving
        self._announce(self._candidates.take_verdicts())

    def _announce(self, verdicts: list[Verdict]) -> None:
        """Log, count and report the verdicts."""
        for verdict in verdicts:
            facts = {"version": verdict.version, "role": verdict.role}
            if verdict.reason is None:
                text = "version %s passed the gate as %s"
                log.info(text, *facts.values(), extra={"event": "model_promoted", "facts": facts})
            else:
                self._require_models().rejected += 1
                text = "version %s was rejected as %s: %s"
                facts["reason"] = verdict.reason
                log.warning(text, *facts.values(), extra={"event": "model_rejected", "facts": facts})
            is_accepted = verdict.reason is None
            report = WorkerReport(self._worker, verdict.version, is_accepted, utc_timestamp(), verdict.reason)
            self._reports.append(encode_report(report, self._topic.signing_key))

    def _log_rollbacks(self, known: int) -> None:
        """Log the effective rollbacks after the first `known` role changes."""
        for applied in self._registry.history[known:]:
            change = applied.change
            if applied.effective and change.action == "rollback":
                facts = {"version": change.version, "role": change.role, "by": change.by, "reason": change.reason}
                reason = "" if change.reason is None else f": {change.reason}"
                text = "version %s was rolled back as %s by a %s%s"
                extra = {"event": "model_rolled_back", "facts": facts}
                log.warning(text, change.version, change.role, change.by, reason, extra=extra)

    def _write_rollbacks(self) -> None:
        """Write the rollbacks of versions that have failed in the loop, until they take effect."""
        with suppress(queue.Empty):
            while True:
                version, reason = self._failed.get_nowait()
                self._rollbacks[version] = f"{reason} (worker {self._worker})"
        roles = self._registry.roles
        held = {*roles.in_use, *roles.previous}
        self._rollbacks = {version: why for version, why in self._rollbacks.items() if version in held}
        if time.monotonic() < self._write_at:
            return
        for version, reason in self._rollbacks.items():
            change = self._rollback_of(version, reason)
            self._write(encode_role_change(change, uuid4().hex, self._topic.signing_key))

    def _write_reports(self) -> None:
        """Write each report once."""
        while self._reports and not self._is_ending():
            self._write(self._reports.pop(0))

    def _rollback_of(self, version: str, reason: str) -> RoleChange:
        role, sha256 = self._registry.roles.role_of(version) or "serving", self._registry.pins[version]
        return RoleChange("rollback", version, sha256, role, "worker", utc_timestamp(), reason=reason)

    def _write(self, message: Message) -> None:
        """Write a record; if that fails, as without the permission, log it and wait before the next one."""
        try:
            self._topic.write(message)
        except TelcoStreamError as error:
            facts = {"topic": self._topic.name, "key": str(message[0]), "error": str(error)}
            text = "record %s was not written to the models topic: %s"
            extra = {"event": "model_record_not_written", "facts": facts}
            log.warning(text, message[0], error, extra=extra)
            self._write_at = time.monotonic() + _RETRY_SECONDS

    def _read_files(self, archive: Published) -> Mapping[str, bytes]:
        return self._topic.files_of(archive)

    def _require_models(self) -> Models:
        if self._models is None:
            raise RuntimeError("models are announced before the first one serves")
        return self._models

    def _is_ending(self) -> bool:
        return self.end.is_set() or self._stop.requested


def gate_limits(settings: Settings) -> GateLimits:
    """Return the limits of the settings."""
    model = settings.model
    return GateLimits(model.gate_failures, model.gate_changed, model.gate_shift, model.gate_microseconds)


def _refusal(topic: str, verdicts: list[Verdict]) -> ModelError:
    if not verdicts:
        return no_serving_version(topic)
    return ModelError(
        f"Version {verdicts[0].version} serves in topic {topic}, but was rejected: {verdicts[0].reason}; promote"
        " another one with telco-stream model promote VERSION"
    )
