"""The current time in the format of the messages."""

from datetime import UTC, datetime


def utc_timestamp() -> str:
    """Return the current time as RFC 3339, in UTC with milliseconds."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
