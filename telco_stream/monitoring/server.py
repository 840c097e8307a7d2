"""HTTP server for /metrics, /healthz and /readyz."""

import logging
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from errno import EADDRINUSE, EADDRNOTAVAIL, EAFNOSUPPORT
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, TypeAlias

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from telco_stream.errors import UsageError

log = logging.getLogger("telco_stream.metrics")

#: Returns a line for each problem; none if healthy.
Check: TypeAlias = Callable[[], list[str]]

#: Host name for all addresses of this machine.
EVERY_ADDRESS = "*"
#: Errors for an address family that the machine lacks or has disabled.
_NO_SUCH_ADDRESS = {EADDRNOTAVAIL, EAFNOSUPPORT}
_TEXT = "text/plain; charset=utf-8"
#: Seconds between two checks for a shutdown.
_POLL_INTERVAL = 0.1


@dataclass(frozen=True, slots=True)
class Pages:
    """Content of the pages."""

    registry: CollectorRegistry
    alive: Check
    ready: Check


@contextmanager
def serving(port: int, pages: Pages, host: str = "localhost") -> Iterator[None]:
    """Serve the pages at this port of each address of the host while the block runs; raise `UsageError` if it can't."""
    with ExitStack() as stack:
        try:
            servers = _listen(host, port, _handler(pages), stack)
        except (OSError, UnicodeError) as error:  # UnicodeError: a host name that is too long or has an empty label
            reason, is_taken = getattr(error, "strerror", None) or error, getattr(error, "errno", 0) == EADDRINUSE
            address, option = (f"port {port}", "port") if is_taken else (f"port {port} of {host}", "host")
            raise UsageError(
                f"Metrics can't be served at {address}: {reason}; choose another --metrics-{option}"
            ) from error
        for server in servers:
            threading.Thread(target=server.serve_forever, args=(_POLL_INTERVAL,), name="metrics", daemon=True).start()
            stack.callback(server.shutdown)
        yield


def _listen(host: str, port: int, handler: type[BaseHTTPRequestHandler], stack: ExitStack) -> "list[_Server]":
    """Return a server for each address of the host; `localhost` is always IPv4 and IPv6.

    Leaves out a family that this machine lacks. The stack closes the servers.
    """
    servers: list[_Server] = []
    lacking: OSError | None = None
    name = None if host in {EVERY_ADDRESS, "localhost"} else host
    flags = socket.AI_PASSIVE if host == EVERY_ADDRESS else 0
    for family, _, _, _, address in socket.getaddrinfo(name, port, type=socket.SOCK_STREAM, flags=flags):
        try:
            servers.append(stack.enter_context(_Server(family, address, handler)))
        except OSError as error:
            if error.errno not in _NO_SUCH_ADDRESS:
                raise
            lacking = error
    if lacking and not servers:
        raise lacking
    return servers


class _Server(ThreadingHTTPServer):
    """Server with a thread per request that doesn't wait for slow clients when it shuts down."""

    daemon_threads = True

    def __init__(self, family: int, address: Any, handler: type[BaseHTTPRequestHandler]) -> None:  # noqa: ANN401 - the type in socketserver
        self.address_family = family
        super().__init__(address, handler)

    def server_bind(self) -> None:
        """Bind an IPv6 socket to IPv6 only; whether it would take IPv4 too differs between systems."""
        if self.address_family == socket.AF_INET6:
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        super().server_bind()

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ANN401, ARG002 - the signature in socketserver
        """Log a client that disconnected at debug level."""
        log.debug("%s disconnected: %s", client_address, sys.exc_info()[1])


def _handler(pages: Pages) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        """Handler of GET and HEAD."""

        timeout = 5
        server_version = "telco-stream"
        sys_version = ""

        def do_GET(self) -> None:
            status, kind, content = _page(pages, self.path.partition("?")[0], self.headers.get("Accept", ""))
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

        do_HEAD = do_GET  # noqa: N815 - the name in http.server

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the signature in http.server
            """Log nothing."""

    return Handler


def _page(pages: Pages, path: str, accept: str) -> tuple[HTTPStatus, str, bytes]:
    if path == "/metrics":
        encode, kind = choose_encoder(accept)
        return HTTPStatus.OK, kind, encode(pages.registry)
    checks = {"/healthz": pages.alive, "/readyz": pages.ready}
    if path not in checks:
        return HTTPStatus.NOT_FOUND, _TEXT, b"Pages: /metrics, /healthz, /readyz\n"
    problems = checks[path]()
    status = HTTPStatus.SERVICE_UNAVAILABLE if problems else HTTPStatus.OK
    return status, _TEXT, "".join(f"{line}\n" for line in problems or ["ok"]).encode()
