"""The headers by which an answer names its input: position, and the ID of the topic.

A topic that is deleted and created again keeps its name and begins at offset 0 again; only its ID tells the two apart.
"""

import re
from typing import NamedTuple

from telco_stream.messages.record import Headers, Record

SOURCE = "source"
SOURCE_TOPIC_ID = "source.topic.id"
#: No topic's name has a slash. Dead letters that older versions replayed name their position without the topic.
_POSITION = re.compile(rb"(?:([\w.-]{1,249})/)?(\d{1,9})/(\d{1,18})", re.ASCII)


class SourceHeaders:
    """Builds the headers for inputs of one topic; without a topic ID, the position only."""

    __slots__ = ("_id_header", "_prefixes", "count")

    def __init__(self, topic_id: str | None) -> None:
        self._id_header = None if topic_id is None else (SOURCE_TOPIC_ID, topic_id.encode())
        self._prefixes: dict[int, bytes] = {}
        #: Headers for each input.
        self.count = 1 if topic_id is None else 2

    def of(self, record: Record) -> Headers:
        """Return the headers of this input's answer."""
        partition = record.partition()
        # A hundred thousand of these are made each second: topic and partition are written once.
        prefix = self._prefixes.get(partition) or self._add_prefix(record.topic(), partition)
        source = (SOURCE, b"%b%d" % (prefix, record.offset()))
        return [source] if self._id_header is None else [source, self._id_header]

    def _add_prefix(self, topic: str, partition: int) -> bytes:
        return self._prefixes.setdefault(partition, f"{topic}/{partition}/".encode())


def source_of(answer: Record) -> tuple[bytes, bytes]:
    """Return position and topic ID of an answer's input as its headers have them, each empty where it is absent.

    Of several headers of one name the last counts, as for Kafka's own clients.
    """
    position = topic_id = b""
    for name, value in answer.headers() or ():
        if name == SOURCE:
            position = value or b""
        elif name == SOURCE_TOPIC_ID:
            topic_id = value or b""
    return position, topic_id


class Position(NamedTuple):
    """Where a record is; `topic` is None where a header names partition and offset only."""

    topic: str | None
    partition: int
    offset: int


def parse_position(text: bytes) -> Position | None:
    """Parse `topic/partition/offset` or `partition/offset`; None if it is neither."""
    if not (match := _POSITION.fullmatch(text)):
        return None
    topic: bytes | None = match[1]
    return Position(None if topic is None else topic.decode(), int(match[2]), int(match[3]))
