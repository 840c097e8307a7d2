"""One port with three pages: /metrics, /healthz, /readyz."""

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

#: What is wrong, a line each; nothing if all is well.
Check: TypeAlias = Callable[[], list[str]]

#: The host that stands for every address of this machine.
EVERY_ADDRESS = "*"
#: What a system answers for a family that it lacks, or has turned off.
_NO_SUCH_ADDRESS = {EADDRNOTAVAIL, EAFNOSUPPORT}
_TEXT = "text/plain; charset=utf-8"
#: Seconds between two looks of the server at the wish to end.
_TICK = 0.1


@dataclass(frozen=True, slots=True)
class Pages:
    """What the pages show."""

    registry: CollectorRegistry
    alive: Check
    ready: Check


@contextmanager
def serving(port: int, pages: Pages, host: str = "localhost") -> Iterator[None]:
    """Serve the pages at this port of every address of the host while the block runs; raises `UsageError`."""
    with ExitStack() as stack:
        for server in _listen(host, port, _handler(pages)):
            stack.callback(server.server_close)
            threading.Thread(target=server.serve_forever, args=(_TICK,), name="metrics", daemon=True).start()
            stack.callback(server.shutdown)
        yield


def _listen(host: str, port: int, handler: type[BaseHTTPRequestHandler]) -> "list[_Server]":
    """Return a server for each address of the host, IPv4 and IPv6; a family that this machine lacks is left out."""
    servers: list[_Server] = []
    lacking: OSError | None = None
    try:
        for family, address in _addresses(host, port):
            try:
                servers.append(_Server(family, address, handler))
            except OSError as error:
                if error.errno not in _NO_SUCH_ADDRESS:
                    raise
                lacking = error
        if lacking and not servers:
            raise lacking
    except (OSError, UnicodeError) as error:  # a name that is too long or has an empty part is no host name
        for server in servers:
            server.server_close()
        why, is_taken = getattr(error, "strerror", None) or error, getattr(error, "errno", 0) == EADDRINUSE
        where, what = (f"port {port}", "port") if is_taken else (f"port {port} of {host}", "host")
        raise UsageError(f"Metrics can't be served at {where}: {why}; choose another --metrics-{what}") from error
    return servers


def _addresses(host: str, port: int) -> Iterator[tuple[int, Any]]:
    """Yield family and socket address of each address of the host; `localhost` is both, whatever the resolver says."""
    name = None if host in {EVERY_ADDRESS, "localhost"} else host
    flags = socket.AI_PASSIVE if host == EVERY_ADDRESS else 0
    for family, _, _, _, address in socket.getaddrinfo(name, port, type=socket.SOCK_STREAM, flags=flags):
        yield family, address


class _Server(ThreadingHTTPServer):
    """Answers side by side, and doesn't wait for slow readers when it ends."""

    daemon_threads = True

    def __init__(self, family: int, address: Any, handler: type[BaseHTTPRequestHandler]) -> None:  # noqa: ANN401 - as socket has it
        self.address_family = family
        super().__init__(address, handler)

    def server_bind(self) -> None:
        """Leave IPv4 to the other server: whether one socket takes both differs between systems."""
        if self.address_family == socket.AF_INET6:
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        super().server_bind()

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ANN401, ARG002 - as http.server has it
        """A reader who went away is nobody's trouble."""
        log.debug("a page was not read to its end by %s: %s", client_address, sys.exc_info()[1])


def _handler(pages: Pages) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        """Answers GET and HEAD."""

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

        do_HEAD = do_GET  # noqa: N815 - http.server's name

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as http.server has it
            """Scrapes are no event."""

    return Handler


def _page(pages: Pages, path: str, accept: str) -> tuple[HTTPStatus, str, bytes]:
    if path == "/metrics":
        encode, kind = choose_encoder(accept)
        return HTTPStatus.OK, kind, encode(pages.registry)
    checks = {"/healthz": pages.alive, "/readyz": pages.ready}
    if path not in checks:
        return HTTPStatus.NOT_FOUND, _TEXT, b"There are /metrics, /healthz and /readyz.\n"
    problems = checks[path]()
    status = HTTPStatus.SERVICE_UNAVAILABLE if problems else HTTPStatus.OK
    return status, _TEXT, "".join(f"{one}\n" for one in problems or ["ok"]).encode()
