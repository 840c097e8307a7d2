# ruff: noqa: INP001 - a script, alone in the image
"""Exit 1 if this container's process has a metrics port and doesn't say there that its loop turns; else 0."""

import re
import sys
import urllib.request
from pathlib import Path


def metrics_port(command: bytes) -> str | None:
    """The port that stands behind `--metrics-port` in a command line as /proc has it; None if there is none, or 0."""
    found = re.search(rb"(?:^|\0)--metrics-port[=\0]([1-9]\d*)", command)
    return found and found[1].decode()


def is_alive(port: str) -> bool:
    """Whether /healthz answers 200 in time."""
    try:
        with urllib.request.urlopen(f"http://localhost:{port}/healthz", timeout=4) as answer:
            return answer.status == 200  # noqa: PLR2004 - HTTP's own number
    except OSError:
        return False


if __name__ == "__main__":
    # Process 1 is telco-stream, or an init whose command line ends with it: the port stands in one place only.
    port = metrics_port(Path("/proc/1/cmdline").read_bytes())
    sys.exit(port is not None and not is_alive(port))
