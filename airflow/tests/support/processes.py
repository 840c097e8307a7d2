"""Finds the `telco-stream` processes that tasks have started."""

from pathlib import Path

from tests.support.topics import Topics


def find(command: str, topics: Topics) -> int:
    """Return the ID of the process that runs `telco-stream COMMAND` on these topics."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().split(b"\0")
            environment = (process / "environ").read_bytes()
        except OSError:
            continue  # it has ended
        if b"telco_stream" in words and command.encode() in words and topics.raw.encode() in environment:
            return int(process.name)
    raise AssertionError(f"no process runs telco-stream {command}")


def is_running(process: int) -> bool:
    """Return whether the process runs."""
    return Path(f"/proc/{process}/exe").exists()


def parent(process: int) -> int:
    """Return the ID of the parent process."""
    return int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])
