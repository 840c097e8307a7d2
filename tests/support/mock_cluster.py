"""librdkafka's mock cluster, with fault injection through its C interface."""

import ctypes
import ctypes.util
from collections.abc import Mapping
from enum import IntEnum
from pathlib import Path
from typing import Any

import confluent_kafka

_TEXT, _INT, _CLUSTER = ctypes.c_char_p, ctypes.c_int, ctypes.c_void_p
#: rd_kafka_type_t: the client that carries the mock cluster is a producer.
_PRODUCER = 0


class Api(IntEnum):
    """Kafka's request types (API keys)."""

    PRODUCE = 0
    FETCH = 1
    LIST_OFFSETS = 2
    METADATA = 3
    OFFSET_COMMIT = 8
    OFFSET_FETCH = 9
    FIND_COORDINATOR = 10
    JOIN_GROUP = 11
    HEARTBEAT = 12
    LEAVE_GROUP = 13
    SYNC_GROUP = 14
    API_VERSIONS = 18
    INIT_PRODUCER_ID = 22
    ADD_PARTITIONS_TO_TXN = 24
    ADD_OFFSETS_TO_TXN = 25
    END_TXN = 26
    TXN_OFFSET_COMMIT = 28


class MockCluster:
    """Brokers with IDs 1 to `brokers` inside this process; groups form without a delay."""

    def __init__(self, brokers: int = 1) -> None:
        self._lib = library_with(_FUNCTIONS)
        error = ctypes.create_string_buffer(512)
        conf = self._lib.rd_kafka_conf_new()
        self._lib.rd_kafka_conf_set(conf, b"log_level", b"0", error, len(error))
        self._client = self._lib.rd_kafka_new(_PRODUCER, conf, error, len(error))
        assert self._client, error.value.decode()
        self._cluster = self._lib.rd_kafka_mock_cluster_new(self._client, brokers)
        assert self._cluster, "librdkafka created no mock cluster"
        self._lib.rd_kafka_mock_group_initial_rebalance_delay_ms(self._cluster, 0)
        self.bootstrap: str = self._lib.rd_kafka_mock_cluster_bootstraps(self._cluster).decode()

    def close(self) -> None:
        """Destroy the brokers and their data."""
        self._lib.rd_kafka_mock_cluster_destroy(self._cluster)
        self._lib.rd_kafka_destroy(self._client)

    def create_topic(self, name: str, partitions: int) -> None:
        """Create a topic; on first use the cluster would create it with 4 partitions."""
        self._check(self._lib.rd_kafka_mock_topic_create(self._cluster, name.encode(), partitions, 1))

    def fail_topic(self, name: str, error: int) -> None:
        """Answer metadata requests for the topic with this error code; 0 ends that."""
        self._lib.rd_kafka_mock_topic_set_error(self._cluster, name.encode(), error)

    def push_errors(self, api: Api, *errors: int) -> None:
        """Answer the next requests of this type with these error codes; 0 is success, `_TRANSPORT` disconnects."""
        codes = (_INT * len(errors))(*errors)
        self._lib.rd_kafka_mock_push_request_errors_array(self._cluster, api, len(errors), codes)

    def push_slow_errors(self, api: Api, *answers: tuple[int, int], broker: int = 1) -> None:
        """Push (code, delay in milliseconds) answers for one broker; see `push_errors`."""
        flat = [_INT(number) for answer in answers for number in answer]
        call = self._lib.rd_kafka_mock_broker_push_request_error_rtts
        self._check(call(self._cluster, broker, api, len(answers), *flat))

    def errors_left(self, api: Api, broker: int = 1) -> int:
        """Return the number of answers pushed for one broker that are not used yet."""
        count = ctypes.c_size_t()
        self._check(self._lib.rd_kafka_mock_broker_error_stack_cnt(self._cluster, broker, api, ctypes.byref(count)))
        return count.value

    def clear_errors(self, api: Api) -> None:
        """Drop the pushed answers for requests of this type."""
        self._lib.rd_kafka_mock_clear_request_errors(self._cluster, api)

    def take_down(self, broker: int = 1) -> None:
        """Disconnect the clients of a broker and refuse connections."""
        self._check(self._lib.rd_kafka_mock_broker_set_down(self._cluster, broker))

    def bring_up(self, broker: int = 1) -> None:
        """Let a broker answer again, with its data, after `take_down`."""
        self._check(self._lib.rd_kafka_mock_broker_set_up(self._cluster, broker))

    def set_round_trip(self, milliseconds: int, broker: int = 1) -> None:
        """Delay every answer of a broker."""
        self._check(self._lib.rd_kafka_mock_broker_set_rtt(self._cluster, broker, milliseconds))

    def move_coordinator(self, kind: str, name: str, broker: int) -> None:
        """Make the broker the coordinator of a "group" or a "transaction" ID."""
        self._check(self._lib.rd_kafka_mock_coordinator_set(self._cluster, kind.encode(), name.encode(), broker))

    def move_leader(self, topic: str, partition: int, broker: int) -> None:
        """Make the broker the leader of a partition; -1 leaves it without a leader."""
        call = self._lib.rd_kafka_mock_partition_set_leader
        self._check(call(self._cluster, topic.encode(), partition, broker))

    def _check(self, code: int) -> None:
        assert code == 0, f"the mock cluster returned an error: {self._lib.rd_kafka_err2str(code).decode()}"


def library_with(functions: Mapping[str, list[Any]]) -> ctypes.CDLL:
    """Load the client's librdkafka and declare these functions: result type, then argument types."""
    package = Path(confluent_kafka.__file__).parent
    bundled = [*package.parent.glob("confluent_kafka.libs/librdkafka*"), *package.glob(".dylibs/librdkafka*")]
    path = str(bundled[0]) if bundled else ctypes.util.find_library("rdkafka")
    assert path, "no librdkafka beside confluent_kafka"
    library = ctypes.CDLL(path)
    for name, (result, *arguments) in functions.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library


_FUNCTIONS: dict[str, list[Any]] = {
    "rd_kafka_conf_new": [_CLUSTER],
    "rd_kafka_conf_set": [_INT, _CLUSTER, _TEXT, _TEXT, _TEXT, ctypes.c_size_t],
    "rd_kafka_new": [_CLUSTER, _INT, _CLUSTER, _TEXT, ctypes.c_size_t],
    "rd_kafka_destroy": [None, _CLUSTER],
    "rd_kafka_err2str": [_TEXT, _INT],
    "rd_kafka_mock_cluster_new": [_CLUSTER, _CLUSTER, _INT],
    "rd_kafka_mock_cluster_destroy": [None, _CLUSTER],
    "rd_kafka_mock_cluster_bootstraps": [_TEXT, _CLUSTER],
    "rd_kafka_mock_group_initial_rebalance_delay_ms": [None, _CLUSTER, ctypes.c_int32],
    "rd_kafka_mock_topic_create": [_INT, _CLUSTER, _TEXT, _INT, _INT],
    "rd_kafka_mock_topic_set_error": [None, _CLUSTER, _TEXT, _INT],
    "rd_kafka_mock_push_request_errors_array": [None, _CLUSTER, ctypes.c_int16, ctypes.c_size_t, ctypes.c_void_p],
    "rd_kafka_mock_broker_push_request_error_rtts": [_INT, _CLUSTER, _INT, ctypes.c_int16, ctypes.c_size_t],
    "rd_kafka_mock_broker_error_stack_cnt": [_INT, _CLUSTER, _INT, ctypes.c_int16, ctypes.c_void_p],
    "rd_kafka_mock_clear_request_errors": [None, _CLUSTER, ctypes.c_int16],
    "rd_kafka_mock_broker_set_down": [_INT, _CLUSTER, ctypes.c_int32],
    "rd_kafka_mock_broker_set_up": [_INT, _CLUSTER, ctypes.c_int32],
    "rd_kafka_mock_broker_set_rtt": [_INT, _CLUSTER, ctypes.c_int32, _INT],
    "rd_kafka_mock_partition_set_leader": [_INT, _CLUSTER, _TEXT, ctypes.c_int32, ctypes.c_int32],
    "rd_kafka_mock_coordinator_set": [_INT, _CLUSTER, _TEXT, _TEXT, ctypes.c_int32],
}
