"""Free TCP ports that no other test takes in between."""

import secrets
import socket
from pathlib import Path

#: The range of Linux's ephemeral ports; ports below it are used only on request.
_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
_LOWEST = 10_000
_TRIES = 100


def free_port() -> int:
    """Return a random free port; random, so that parallel tests do not choose the same."""
    below = int(_RANGE.read_text().split()[0]) if _RANGE.exists() else 32_768
    for _ in range(_TRIES):
        if _is_free(port := _LOWEST + secrets.randbelow(max(below, 2 * _LOWEST) - _LOWEST)):
            return port
    raise AssertionError(f"none of {_TRIES} tried ports is free")


def _is_free(port: int) -> bool:
    with socket.socket() as listener:
        try:
            listener.bind(("", port))
        except OSError:
            return False
        return True
