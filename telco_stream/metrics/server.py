"""One port with three pages: /metrics, /healthz, /readyz."""

import logging
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, TypeAlias

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from telco_stream.errors import UsageError

log = logging.getLogger("telco_stream.metrics")

#: What is wrong, a line each; nothing if all is well.
Check: TypeAlias = Callable[[], list[str]]

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
def serving(port: int, pages: Pages) -> Iterator[int]:
    """The pages at this port (0 is any that is free) of all addresses while the block runs; raises `UsageError`."""
    try:
        server = _Server(("0.0.0.0", port), _handler(pages))  # noqa: S104 - a container's scraper comes from outside
    except OSError as error:
        why = error.strerror or error
        raise UsageError(f"Metrics can't be served at port {port}: {why}; choose another --metrics-port") from error
    thread = threading.Thread(target=server.serve_forever, args=(_TICK,), name="metrics", daemon=True)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()


class _Server(ThreadingHTTPServer):
    """Answers side by side, and doesn't wait for slow readers when it ends."""

    daemon_threads = True

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
