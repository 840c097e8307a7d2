"""Ports to listen at, which no other test takes in between."""

import secrets
import socket
from pathlib import Path

#: Where Linux takes the ports of outgoing connections from; below, nobody gets one who hasn't asked for it.
_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
_LOWEST = 10_000
_TRIES = 100


def free_port() -> int:
    """A port that nobody listens at; by chance, so that tests which run side by side do not choose the same."""
    below = int(_RANGE.read_text().split()[0]) if _RANGE.exists() else 32_768
    for _ in range(_TRIES):
        if _is_free(port := _LOWEST + secrets.randbelow(max(below, 2 * _LOWEST) - _LOWEST)):
            return port
    raise AssertionError(f"{_TRIES} ports were tried, and none is free")


def _is_free(port: int) -> bool:
    with socket.socket() as door:
        try:
            door.bind(("", port))
        except OSError:
            return False
        return True
