"""Headers of an answer that identify its input: its position, and the ID of its topic.

A topic that is deleted and recreated has the same name and offsets; only its ID distinguishes the two.
"""

import re
from typing import NamedTuple

from telco_stream.messages.record import Headers, Record

SOURCE = "source"
SOURCE_TOPIC_ID = "source.topic.id"
#: Topic names contain no slash. Older versions of `dlq replay` wrote the position without the topic.
_POSITION = re.compile(rb"(?:([\w.-]{1,249})/)?(\d{1,9})/(\d{1,18})", re.ASCII)


class SourceHeaders:
    """Builder of the headers for inputs of one topic; without a topic ID, only the position."""

    __slots__ = ("_id_header", "_prefixes", "count")

    def __init__(self, topic_id: str | None) -> None:
        self._id_header = None if topic_id is None else (SOURCE_TOPIC_ID, topic_id.encode())
        self._prefixes: dict[int, bytes] = {}
        #: Number of headers per input.
        self.count = 1 if topic_id is None else 2

    def of(self, record: Record) -> Headers:
        """Return the headers for the answer to this input."""
        partition = record.partition()
        # Called 100,000 times per second: format topic and partition once.
        prefix = self._prefixes.get(partition) or self._add_prefix(record.topic(), partition)
        source = (SOURCE, b"%b%d" % (prefix, record.offset()))
        return [source] if self._id_header is None else [source, self._id_header]

    def _add_prefix(self, topic: str, partition: int) -> bytes:
        return self._prefixes.setdefault(partition, f"{topic}/{partition}/".encode())


def source_of(answer: Record) -> tuple[bytes, bytes]:
    """Return position and topic ID of an answer's input from the headers, each empty if it is absent.

    If a name occurs more than once, the last header counts, as in `lastHeader` of Kafka's Java client.
    """
    position = topic_id = b""
    for name, value in answer.headers() or ():
        if name == SOURCE:
            position = value or b""
        elif name == SOURCE_TOPIC_ID:
            topic_id = value or b""
    return position, topic_id


class Position(NamedTuple):
    """Position of a record; `topic` is None if a header names only partition and offset."""

    topic: str | None
    partition: int
    offset: int


def parse_position(text: bytes) -> Position | None:
    """Parse `topic/partition/offset` or `partition/offset`; return None if it is neither."""
    if not (match := _POSITION.fullmatch(text)):
        return None
    topic: bytes | None = match[1]
    return Position(None if topic is None else topic.decode(), int(match[2]), int(match[3]))
