"""Headers of messages: the `source` of an answer, and the limits on forwarded headers.

A topic that is deleted and recreated has the same name and offsets; only its ID distinguishes the two.
"""

import re
from typing import NamedTuple

from telco_stream.messages.record import Headers, Record

SOURCE = "source"
SOURCE_TOPIC_ID = "source.topic.id"
#: Topic names contain no slash. Older versions of `dlq replay` wrote the position without the topic.
_POSITION = re.compile(rb"(?:([\w.-]{1,249})/)?(\d{1,9})/(\d{1,18})", re.ASCII)
#: Header that holds the number of dropped input headers, or `unreadable` if the client cannot decode their names.
DROPPED = "source.headers.dropped"
#: Header of the last record of each transaction of `produce`: the progress committed with it.
PROGRESS_MARK = "telco.produce.progress"
#: Replacement for headers that the client cannot decode.
UNREADABLE: Headers = [(DROPPED, b"unreadable")]
#: Limits per record: number of headers, and bytes of their names and values. Beyond either, headers are dropped.
MAX_HEADERS = 128
MAX_HEADER_BYTES = 65_536
#: The first and the last headers are kept, because this project appends its headers at the end.
_FIRST, _FIRST_BYTES = 64, 32_768
_LAST, _LAST_BYTES = 32, 16_384


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
        prefix = self._prefixes.get(partition)
        if prefix is None:
            prefix = self._prefixes[partition] = f"{record.topic()}/{partition}/".encode()
        source = (SOURCE, b"%b%d" % (prefix, record.offset()))
        return [source] if self._id_header is None else [source, self._id_header]


def source_of(answer: Record) -> tuple[bytes, bytes]:
    """Return position and topic ID of an answer's input from the headers, each empty if it is absent.

    If a name occurs more than once, the last header counts, as in `lastHeader` of Kafka's Java client.
    """
    last = dict(answer.headers() or ())
    return last.get(SOURCE) or b"", last.get(SOURCE_TOPIC_ID) or b""


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


def headers_size(headers: Headers) -> int:
    """Return the bytes of all names and values; each character of a name counts as one byte."""
    size = 0
    for name, value in headers:
        size += len(name) + len(value or b"")
    return size


def limit_headers(headers: Headers) -> Headers:
    """Return the first and the last headers, with a header between them that holds the number of dropped ones."""
    first = headers[: _fitting(headers[:_FIRST], _FIRST_BYTES)]
    rest = headers[len(first) :]
    last = rest[len(rest) - _fitting(rest[: -_LAST - 1 : -1], _LAST_BYTES) :]
    return [*first, (DROPPED, str(len(rest) - len(last)).encode()), *last]


def _fitting(headers: Headers, limit: int) -> int:
    """Return how many headers from the first on take at most `limit` bytes."""
    for number, header in enumerate(headers):
        limit -= headers_size([header])
        if limit < 0:
            return number
    return len(headers)
