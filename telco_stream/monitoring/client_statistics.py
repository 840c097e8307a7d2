"""Statistics of librdkafka, condensed to what the metrics export."""

import json
from collections import Counter
from dataclasses import dataclass
from typing import Any

#: Names of a broker's error counters in the statistics, and in the metrics.
_REQUEST_ERRORS = {"txerrs": "transmit", "rxerrs": "receive", "req_timeouts": "timeout"}
_MICROSECONDS = 1_000_000


@dataclass(frozen=True, slots=True)
class ClientStatistics:
    """Condensed statistics of one client."""

    request_errors: Counter[str]
    round_trip_seconds: float
    queued: int


class Statistics:
    """Latest statistics of each client; clients that were closed keep their share of the counters."""

    def __init__(self) -> None:
        self._by_client: dict[str, ClientStatistics] = {}

    def update(self, text: str) -> None:
        """Replace one client's statistics; ignore unreadable text, because the client calls this."""
        try:
            statistics = json.loads(text)
            self._by_client[statistics["name"]] = _condense(statistics)
        except (ValueError, KeyError, TypeError, AttributeError):
            return

    @property
    def request_errors(self) -> dict[str, int]:
        """Failed requests by kind."""
        clients = list(self._by_client.values())
        return {kind: sum(client.request_errors[kind] for client in clients) for kind in _REQUEST_ERRORS.values()}

    @property
    def newest(self) -> ClientStatistics:
        """Statistics of the client that was created last."""
        return list(self._by_client.values())[-1] if self._by_client else ClientStatistics(Counter(), 0.0, 0)


def _condense(statistics: dict[str, Any]) -> ClientStatistics:
    brokers = list(statistics["brokers"].values())
    errors = Counter({kind: sum(broker[name] for broker in brokers) for name, kind in _REQUEST_ERRORS.items()})
    slowest = max((broker["rtt"]["avg"] for broker in brokers), default=0)
    return ClientStatistics(errors, slowest / _MICROSECONDS, statistics["msg_cnt"] or _fetch_queue_length(statistics))


def _fetch_queue_length(statistics: dict[str, Any]) -> int:
    """Return the length of the fetch queue, which a group's partitions share and each of them reports."""
    topics = statistics["topics"].values()
    return max((partition["fetchq_cnt"] for topic in topics for partition in topic["partitions"].values()), default=0)
