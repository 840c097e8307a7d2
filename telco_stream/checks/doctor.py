"""`doctor`: checks of broker, topics, permissions, model, clocks and disk; each is ok or says what to do."""

import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TypeAlias

from telco_stream.checks.needs import Needs, needs_of
from telco_stream.checks.results import Check, DoctorResult
from telco_stream.errors import DataError, KafkaError, TelcoStreamError
from telco_stream.kafka.clients import Clients
from telco_stream.kafka.cluster import Cluster
from telco_stream.kafka.topics import compaction_warning, is_compacted, retention_warning
from telco_stream.kafka.transactions import transactions_under
from telco_stream.model.scorer import Scorer
from telco_stream.runtime.humanize import count_of, format_count, format_interval
from telco_stream.runtime.signals import Stop
from telco_stream.settings import Settings

#: Free space below which a disk counts as full, in bytes.
_MIN_FREE = 100_000_000
#: Seconds by which clocks may differ; `status --max-age` and the latency metrics are wrong by the difference.
_MAX_CLOCK_DIFFERENCE = 10.0
#: The broker's topic of transactional IDs, whose records have the time of its clock.
_BROKER_CLOCK = "__transaction_state"

#: Kind of check, its subject, and the function that returns what it found, or raises what to do.
_Examination: TypeAlias = tuple[str, str, Callable[[], str]]


class _Skipped(Exception):  # noqa: N818 - the check found nothing wrong
    """Raised by a check that is not possible; the message says why."""


class Doctor:
    """The checks for some commands, in the order in which they run."""

    def __init__(
        self,
        clients: Clients,
        load_scorer: Callable[[], Scorer],
        commands: Sequence[str],
        stop: Stop,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._settings: Settings = clients.settings
        self._needs = needs_of(self._settings, list(commands))
        self._clients = clients
        self._cluster = Cluster(clients, stop)
        self._load_scorer = load_scorer
        self._clock = clock
        self._stop = stop
        self._failed: set[str] = set()

    def run(self, progress: Callable[[str, int, int], object]) -> DoctorResult:
        """Run all checks and call `progress` before each with its kind, and how many of how many are done."""
        checks: list[Check] = []
        examinations = list(self._examinations())
        for kind, subject, examine in examinations:
            progress(kind, len(checks), len(examinations))
            check = _check(kind, subject, examine)
            if check.state == "failed":
                self._failed.add(subject)
            checks.append(check)
        codes = [check.exit_code for check in checks if check.exit_code]
        return DoctorResult(ok=not codes, exit_code=next(iter(codes), 0), checks=checks)

    def _examinations(self) -> Iterator[_Examination]:
        settings = self._settings
        yield "broker", settings.bootstrap_servers, self._examine_broker
        used = set().union(*(needs.topics for needs in self._needs.values()))
        for setting in ("raw", "predictions", "deadletter", "models", "outcomes"):
            topic = getattr(settings.topics, setting)
            if topic in used:
                yield "topic", topic, partial(self._examine_topic, topic, setting)
        for command, needs in self._needs.items():
            yield "permissions", command, partial(self._examine_permissions, needs)
        yield "model", settings.model.path or "bundled", self._examine_model
        yield "clocks", "here and at the broker", self._examine_clocks
        folder = Path(settings.producer.checkpoint_file).parent if self._produces() else Path()
        yield "disk", str(folder), partial(_examine_disk, folder, is_written=self._produces())

    def _examine_broker(self) -> str:
        started = time.monotonic()
        self._cluster.topics()
        seconds = time.monotonic() - started
        if error := self._clients.connection_error():
            raise error
        return f"{count_of(len(self._clients.advertised), 'broker')}, answered in {seconds * 1_000:,.0f} ms"

    def _examine_topic(self, topic: str, setting: str) -> str:
        self._need_broker()
        partitions = self._cluster.partitions(topic)[topic]
        configured = getattr(self._settings.topics, f"{setting}_partitions", 1)
        if partitions < configured:
            raise KafkaError(
                f"{partitions} of {configured} partitions; add them with kafka-topics.sh --alter, or set"
                f" TELCO_STREAM_TOPICS__{setting.upper()}_PARTITIONS={partitions}"
            )
        config = self._cluster.topic_configs(topic)[topic]
        replicas = self._cluster.topics()[topic][1]
        check_replicas(self._cluster.in_sync_replicas(topic), replicas, int(config.get("min.insync.replicas", 1)))
        if config and is_compacted(config) != (setting == "models"):
            raise KafkaError(retention_warning(topic) if setting == "models" else compaction_warning(topic))
        return f"{count_of(partitions, 'partition')}, {count_of(replicas, 'replica')}, {_describe_config(config)}"

    def _examine_permissions(self, needs: Needs) -> str:
        self._need_broker()
        if failed := sorted(needs.topics & self._failed):
            raise _Skipped(f"needs topic {failed[0]}")
        needs.check(self._cluster)
        return "allowed"

    def _examine_model(self) -> str:
        scorer = self._load_scorer()
        return f"{scorer.version}, threshold {scorer.threshold:.3g}"

    def _examine_clocks(self) -> str:
        """Compare this clock with the time at which the broker stores a transactional ID."""
        self._need_broker()
        name = next((needs.transactional_id for needs in self._needs.values() if needs.transactional_id), None)
        if name is None:
            raise _Skipped("only a command with a transactional ID can compare them")
        before = self._clock()
        try:
            transactions_under(name, self._clients, self._stop, has_unique_id=False).start()
            after, newest = self._clock(), self._cluster.newest_time(_BROKER_CLOCK)
        except KafkaError as error:
            raise _Skipped(f"not compared: {error}") from error
        broker = (newest or 0) / 1_000
        difference = broker - min(max(broker, before), after)
        if abs(difference) > _MAX_CLOCK_DIFFERENCE:
            direction = "ahead of" if difference > 0 else "behind"
            raise DataError(
                f"the broker's clock is {abs(difference):,.1f} s {direction} this machine's; synchronise both with NTP"
            )
        return f"differ by less than {max(0.1, abs(difference) + after - before):.1f} s"

    def _need_broker(self) -> None:
        if self._settings.bootstrap_servers in self._failed:
            raise _Skipped("needs the broker")

    def _produces(self) -> bool:
        return any(command.startswith("produce") for command in self._needs)


def _check(kind: str, subject: str, examine: Callable[[], str]) -> Check:
    try:
        return Check(kind, subject, "ok", examine())
    except _Skipped as reason:
        return Check(kind, subject, "skipped", str(reason))
    except TelcoStreamError as error:
        message = str(error).removeprefix(f"Topic {subject}: ")  # the line has the topic already
        return Check(kind, subject, "failed", message, error.exit_code)


def check_replicas(in_sync: dict[int, int], replicas: int, minimum: int) -> None:
    """Raise `KafkaError` for a partition that can't be written, or that misses a replica."""
    partition, count = min(in_sync.items(), key=lambda item: item[1])
    if not count:
        raise KafkaError(f"partition {partition} has no leader; start its broker, or free or replace its disk")
    if count < minimum:
        raise KafkaError(
            f"partition {partition} has {count} of {minimum} in-sync replicas that a write needs; start the other"
            " brokers, or lower min.insync.replicas"
        )
    if count < replicas:
        raise KafkaError(f"partition {partition} has {count} of {replicas} replicas in sync; start the other brokers")


def _describe_config(config: dict[str, str]) -> str:
    if not config:
        return "settings unknown (they need DescribeConfigs)"
    retention = int(config.get("retention.ms", -1)) // 1_000
    kept = f"kept for {format_interval(retention)}" if retention > 0 else "kept forever"
    kept = "compacted" if is_compacted(config) else kept
    return f"{kept}, up to {format_count(int(config['max.message.bytes']))} bytes"


def _examine_disk(folder: Path, *, is_written: bool) -> str:
    """Check the free space of a folder, or of its nearest parent that exists, and whether it can be written."""
    absolute = folder.absolute()
    existing = next(path for path in (absolute, *absolute.parents) if path.exists())
    if is_written and not (existing.is_dir() and os.access(existing, os.W_OK)):
        raise DataError(f"{existing} is not a folder that can be written; set TELCO_STREAM_PRODUCER__CHECKPOINT_FILE")
    free = shutil.disk_usage(existing).free
    if free < _MIN_FREE:
        raise DataError(f"{free / 1e6:,.0f} MB are free; free at least {_MIN_FREE / 1e6:,.0f} MB")
    return f"{free / 1e9:,.1f} GB free"
