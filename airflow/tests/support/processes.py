"""The commands that tasks have started, found by what they do and on which topics."""

from pathlib import Path

from tests.support.topics import Topics


def find(command: str, topics: Topics) -> int:
    """The process that runs `telco-stream COMMAND` on these topics."""
    for place in Path("/proc").glob("[0-9]*"):
        try:
            words = (place / "cmdline").read_bytes().split(b"\0")
            environment = (place / "environ").read_bytes()
        except OSError:
            continue  # it has ended meanwhile
        if b"telco_stream" in words and command.encode() in words and topics.raw.encode() in environment:
            return int(place.name)
    raise AssertionError(f"no process runs telco-stream {command}")


def is_running(process: int) -> bool:
    """Whether it has not ended."""
    return Path(f"/proc/{process}/exe").exists()


def parent(process: int) -> int:
    """Who has started it."""
    return int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])
