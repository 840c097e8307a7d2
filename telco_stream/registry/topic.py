"""The models topic: reads its records up to the end, and writes new ones."""

import logging
from collections.abc import Iterable, Iterator
from functools import cached_property

from telco_stream.errors import ModelError, UsageError
from telco_stream.kafka.clients import Clients
from telco_stream.kafka.cluster import Cluster
from telco_stream.kafka.permissions import require_read, require_write
from telco_stream.kafka.reading import read
from telco_stream.kafka.sink import Sink, delivery_errors
from telco_stream.kafka.topics import MAX_MODEL_BYTES
from telco_stream.messages.record import ENVELOPE, Message, Record, size_of
from telco_stream.registry.archive import ArchiveError, unpack
from telco_stream.registry.records import Entry, Ignored, Publication, decode_record
from telco_stream.registry.roles import Published, Registry, fold
from telco_stream.runtime.signals import Stop

log = logging.getLogger("telco_stream.registry")

#: The topic's only partition: the order of its records is the order of the role changes.
PARTITION = 0


class ModelTopic:
    """The models topic, as this user may read and, if `writes`, write it; raises `KafkaError` for a missing right."""

    def __init__(self, clients: Clients, topic: str, stop: Stop, *, writes: bool = False) -> None:
        self.name = topic
        self.signing_key = signing_key(clients)
        self._cluster = Cluster(clients, stop)
        self._cluster.partitions(topic)
        require_read(self._cluster, topic)
        if writes:
            require_write(self._cluster, topic)
        self._registry = Registry()
        self._position = 0

    def topic_id(self) -> str | None:
        """Return the ID that the topic has now; None if the broker lacks topic IDs."""
        return self._cluster.topic_ids(self.name)[self.name]

    @property
    def position(self) -> int:
        """Offset up to which the records have been read."""
        return self._position

    def registry(self) -> Registry:
        """Read the records that are new since the last call; return the content of the topic up to its end."""
        self._registry = fold(self._entries(self._position), self._registry)
        return self._registry

    def published(self, version: str) -> Published:
        """Return where a version is; raise `UsageError` if the topic does not hold it."""
        versions = self.registry().published
        if version not in versions:
            known = ", ".join(versions) or "none; telco-stream model publish FOLDER adds one"
            raise UsageError(f"Version {version!r} is not in topic {self.name}; its versions: {known}")
        return versions[version]

    def files(self, version: str, sha256: str) -> dict[str, bytes]:
        """Read the files of a version whose archive has this checksum; raise `ModelError` if they can't be used."""
        published = self.registry().published.get(version)
        if published is None or published.sha256 != sha256:
            raise missing_archive(version)
        return self.files_of(published)

    def files_of(self, published: Published) -> dict[str, bytes]:
        """Read the files of an archive at its offset; raise `ModelError` if they can't be used."""
        starts, ends = {PARTITION: published.offset}, {PARTITION: published.offset + 1}
        for records in read(self._cluster, self.name, starts=starts, ends=ends):
            for entry in valid_entries(records, self.signing_key):
                if isinstance(entry.content, Publication) and entry.content.archive is not None:
                    return unpack_version(entry.content.archive, f"{self.name}, version {published.version}")
        raise missing_archive(published.version)

    def serving_files(self) -> dict[str, bytes]:
        """Read the files of the version that serves; raise `ModelError` without one."""
        registry = self.registry()
        serving = registry.roles.serving
        if serving is None:
            raise no_serving_version(self.name)
        return self.files(serving, registry.pins[serving])

    def write(self, message: Message) -> None:
        """Append a record and wait until all in-sync replicas have it; raise `KafkaError` after the timeout."""
        size = size_of(*message) + ENVELOPE
        limit = self._cluster.largest_message(self.name, size)
        if size > limit:
            raise UsageError(
                f"The record has {size:,} bytes, but topic {self.name} takes {limit:,}: raise its max.message.bytes to"
                f" {MAX_MODEL_BYTES} with kafka-configs.sh"
            )
        with delivery_errors():
            self._sink.send(self.name, [message], PARTITION)
            self._sink.flush()

    @cached_property
    def _sink(self) -> Sink:
        clients = self._cluster.clients
        timeout = str(int(clients.timeout * 1_000))
        producer = clients.producer(message_max_bytes=str(MAX_MODEL_BYTES), message_timeout_ms=timeout)
        return Sink(producer, self._cluster.stop)

    def _entries(self, start: int) -> Iterator[Entry]:
        """Read the valid records from an offset on; log the others."""
        for batch in read(self._cluster, self.name, starts={PARTITION: start}):
            yield from valid_entries(batch, self.signing_key)
            self._position = max(self._position, batch[-1].offset() + 1)


def valid_entries(records: Iterable[Record], key: bytes | None) -> Iterator[Entry]:
    """Decode records of the topic; log those that have no effect."""
    for record in records:
        entry = decode_record(record, key)
        if isinstance(entry, Ignored):
            facts = {"topic": record.topic(), "offset": entry.offset}
            message = "ignored record %s of topic %s: %s"
            log.warning(
                message,
                entry.offset,
                record.topic(),
                entry.reason,
                extra={"event": "model_record_ignored", "facts": facts | {"reason": entry.reason}},
            )
        else:
            yield entry


def no_serving_version(topic: str) -> ModelError:
    """Return the error for a topic in which no version serves."""
    return ModelError(
        f"No version serves in topic {topic}: telco-stream model publish FOLDER, then telco-stream model promote"
        " VERSION"
    )


def missing_archive(version: str) -> ModelError:
    """Return the error for a version whose archive is not the one that was promoted."""
    return ModelError(
        f"The topic does not hold the archive of {version} that was promoted: publish it again with"
        " telco-stream model publish FOLDER"
    )


def unpack_version(archive: bytes, origin: str) -> dict[str, bytes]:
    """Unpack an archive; raise `ModelError` if it is damaged or hostile."""
    try:
        return unpack(archive)
    except ArchiveError as error:
        raise ModelError(f"The archive in {origin} was rejected: {error}; publish the model again") from error


def signing_key(clients: Clients) -> bytes | None:
    """Return the configured key that signs the records of the topic."""
    key = clients.settings.model.signing_key
    return None if key is None else key.encode()
