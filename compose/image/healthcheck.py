# ruff: noqa: INP001 - a single script in the image
"""Health check of the image: exit 1 if the process has a metrics port and its /healthz does not answer 200."""

import re
import sys
import urllib.request
from pathlib import Path


def metrics_port(command: bytes) -> str | None:
    """Return the value of `--metrics-port` in a command line from /proc, or None if it is missing or 0."""
    match = re.search(rb"(?:^|\0)--metrics-port[=\0]([1-9]\d*)", command)
    return match and match[1].decode()


def is_alive(port: str) -> bool:
    """Return whether /healthz answers 200 within 4 seconds."""
    try:
        with urllib.request.urlopen(f"http://localhost:{port}/healthz", timeout=4) as answer:
            return answer.status == 200  # noqa: PLR2004 - HTTP's status for success
    except OSError:
        return False


if __name__ == "__main__":
    # Process 1 is telco-stream, or an init whose command line contains that of telco-stream.
    port = metrics_port(Path("/proc/1/cmdline").read_bytes())
    sys.exit(port is not None and not is_alive(port))
