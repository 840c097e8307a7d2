"""Now, as the messages write it."""

from datetime import UTC, datetime


def now() -> str:
    """The time, RFC 3339 in UTC to the millisecond."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
