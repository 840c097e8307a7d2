"""Limits on the headers of a record: an answer carries its input's headers on, and anybody may write any number."""

from telco_stream.messages.record import Headers

#: Says how many of the input's headers were dropped; `unreadable` where not even their names can be decoded.
DROPPED = "source.headers.dropped"
#: Header of the last record of each transaction of a pass: the progress that was committed with it.
PROGRESS_MARK = "telco.produce.progress"
#: What stands for headers that the client cannot decode.
UNREADABLE: Headers = [(DROPPED, b"unreadable")]
#: Headers of one record, and bytes of their names and values; beyond either, some are dropped.
MAX_HEADERS = 128
MAX_HEADER_BYTES = 65_536
#: Of too many, those at the beginning and those at the end are kept: this project's own are the last ones.
_FIRST, _FIRST_BYTES = 64, 32_768
_LAST, _LAST_BYTES = 32, 16_384


def bytes_of(headers: Headers) -> int:
    """Return the bytes of all names and values; a character of a name counts as one."""
    size = 0
    for name, value in headers:
        size += len(name) + len(value or b"")
    return size


def limit_headers(headers: Headers) -> Headers:
    """Return the first and the last headers, and between them a header that says how many were dropped."""
    first = headers[: _fitting(headers[:_FIRST], _FIRST_BYTES)]
    rest = headers[len(first) :]
    last = rest[len(rest) - _fitting(rest[: -_LAST - 1 : -1], _LAST_BYTES) :]
    return [*first, (DROPPED, str(len(rest) - len(last)).encode()), *last]


def _fitting(headers: Headers, limit: int) -> int:
    """Return how many headers fit, from the first on."""
    for number, header in enumerate(headers):
        limit -= bytes_of([header])
        if limit < 0:
            return number
    return len(headers)
