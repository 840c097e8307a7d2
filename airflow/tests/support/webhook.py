"""A server that stores alerts; it refuses those posted to …/refused."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self


class Webhook:
    """A context manager that runs the server; `alerts` holds the parsed alerts."""

    def __init__(self) -> None:
        self.alerts: list[Any] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self.alerts))

    @property
    def url(self) -> str:
        """Return the address for alerts."""
        return f"http://127.0.0.1:{self._server.server_port}/hook"

    def messages(self) -> dict[str, str]:
        """Return the alerts' messages by task."""
        return {alert["task_id"]: alert["message"] for alert in self.alerts}

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


def _handler(alerts: list[Any]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            alert = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            refused = self.path.endswith("/refused")
            if not refused:
                alerts.append(alert)
            self.send_response(500 if refused else 204)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the signature of http.server
            """Log nothing."""

    return Handler
