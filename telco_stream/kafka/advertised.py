"""Detection of brokers that advertise an address which this machine cannot reach.

A client connects to the bootstrap servers once, fetches the cluster's metadata and then uses the addresses in it. If a
listener advertises the name of another network, only this first request succeeds.
"""

import re
import socket
from collections.abc import Sequence
from functools import partial

from telco_stream import errors
from telco_stream.kafka.background import BackgroundCall
from telco_stream.kafka.retry import Deadline

#: Seconds in which all addresses must accept a connection; they are probed at the same time.
_PROBE_SECONDS = 1.0
_DEFAULT_PORT = 9092
_ADDRESS = re.compile(r"(?:\w+://)?\[?(?P<host>[^/\]]+?)\]?(?::(?P<port>\d+))?")

Address = tuple[str, int]


def unreachable_broker(bootstrap_servers: str, advertised: Sequence[Address]) -> errors.KafkaError | None:
    """Return the error for the first advertised address that accepts no connection while a bootstrap server does."""
    bootstrap = [address for text in bootstrap_servers.split(",") if (address := _parse(text.strip()))]
    others = [address for address in advertised if address not in bootstrap]
    if not others:
        return None
    probes = {address: BackgroundCall(partial(_accepts, address)) for address in (*bootstrap, *others)}
    deadline = Deadline(_PROBE_SECONDS)
    for probe in probes.values():
        probe.wait(deadline.remaining)
    reached = [address for address, probe in probes.items() if not probe.is_alive() and probe.result()]
    answered = next((address for address in bootstrap if address in reached), None)
    unreachable = next((address for address in others if address not in reached), None)
    if answered is None or unreachable is None:
        return None
    check_broker = " and whether that broker is up" if len(advertised) > 1 else ""
    return errors.KafkaError(
        f"{_text(answered)} answered and advertises {_text(unreachable)}, which cannot be reached from here; check"
        f" advertised.listeners{check_broker}"
    )


def _parse(text: str) -> Address | None:
    match = _ADDRESS.fullmatch(text)
    return (match["host"], int(match["port"] or _DEFAULT_PORT)) if match else None


def _accepts(address: Address) -> bool:
    try:
        socket.create_connection(address, _PROBE_SECONDS).close()
    except (OSError, UnicodeError):  # IDNA encoding fails for a host name that is too long
        return False
    return True


def _text(address: Address) -> str:
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
