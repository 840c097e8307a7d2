"""The models topic of a test: publishes variants, changes roles, and reads what workers have written."""

from typing import Any
from uuid import uuid4

from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from telco_stream.messages.record import Message
from telco_stream.registry.records import (
    Entry,
    RoleChange,
    WorkerReport,
    decode_record,
    encode_publication,
    encode_role_change,
)
from telco_stream.registry.roles import Registry, fold
from tests.support.model_variants import archive
from tests.support.records import FakeRecord
from tests.support.topics import StoredRecord, Topics, read_topic, send
from tests.support.waiting import wait_until

#: One model accepts another that differs much, except in failures: for tests of what comes after the gate.
OPEN_GATE = {
    f"TELCO_STREAM_MODEL__GATE_{name}": value
    for name, value in (("FAILURES", "1"), ("CHANGED", "1"), ("SHIFT", "1"), ("MICROSECONDS", "1e6"))
}


class PublishedModels:
    """Models topic of a test, with archives that are written as any producer could write them."""

    def __init__(self, bootstrap: str, topics: Topics) -> None:
        self._bootstrap = bootstrap
        self.topic = topics.models
        self.sha256: dict[str, str] = {}
        admin = AdminClient({"bootstrap.servers": bootstrap})
        config = {"cleanup.policy": "compact", "max.message.bytes": str(32 * 1024 * 1024)}
        admin.create_topics([NewTopic(self.topic, 1, 1, config=config)])[self.topic].result(20)
        wait_until(lambda: self.topic in admin.list_topics(timeout=10).topics, 30, "the models topic")
        self.env = topics.env(bootstrap) | {"TELCO_STREAM_MODEL__PATH": f"kafka:{self.topic}"}

    def publish(self, version: str, change: str = "equal", content: bytes | None = None) -> None:
        """Publish a variant of the committed model, or other bytes."""
        message = encode_publication(version, archive(version, change) if content is None else content)
        self.sha256[version] = dict(message[2])["telco.model.sha256"].decode()
        self.send(message)

    def promote(self, version: str, role: Any = "serving", percent: float | None = None) -> None:
        """Give a version a role."""
        change = RoleChange("promote", version, self.sha256[version], role, "command", "now", percent)
        self.send(encode_role_change(change, uuid4().hex))

    def roll_back(self, version: str, role: Any = "serving") -> None:
        """Take a version's role away."""
        change = RoleChange("rollback", version, self.sha256[version], role, "command", "now")
        self.send(encode_role_change(change, uuid4().hex))

    def send(self, message: Message) -> None:
        """Write a record."""
        send(self._bootstrap, self.topic, [message], partition=0)

    def entries(self) -> list[Entry]:
        """Read the valid records."""
        decoded = [decode_record(_as_record(stored)) for stored in read_topic(self._bootstrap, self.topic)]
        return [entry for entry in decoded if isinstance(entry, Entry)]

    def registry(self) -> Registry:
        """Read the content of the topic."""
        return fold(self.entries())

    def reports(self, version: str) -> list[WorkerReport]:
        """Read the reports of the workers about a version."""
        contents = [entry.content for entry in self.entries()]
        return [content for content in contents if isinstance(content, WorkerReport) and content.version == version]

    def wait_for_reports(self, version: str, workers: int, *, accepted: bool = True) -> list[WorkerReport]:
        """Wait until this many workers have accepted or rejected a version."""

        def reports() -> list[WorkerReport]:
            found = [report for report in self.reports(version) if report.accepted is accepted]
            return found if len({report.worker for report in found}) >= workers else []

        return wait_until(reports, 30, f"{workers} reports about {version}")


def _as_record(stored: StoredRecord) -> FakeRecord:
    position = (stored.offset, stored.partition)
    return FakeRecord(stored.value, *position, stored.key, stored.headers, stored.topic, stored.timestamp)
