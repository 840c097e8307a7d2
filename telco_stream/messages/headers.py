"""Limits on the headers of a record: answers forward the headers of their input, and producers can write any number."""

from telco_stream.messages.record import Headers

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
