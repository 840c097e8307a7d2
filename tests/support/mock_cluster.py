"""librdkafka's own mock cluster, with the faults that only its C interface can inject."""

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
    """Kinds of request, by Kafka's numbers."""

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
    """Brokers 1 to `brokers` inside this process, at `bootstrap`; groups form at once."""

    def __init__(self, brokers: int = 1) -> None:
        self._lib = library_with(_FUNCTIONS)
        words = ctypes.create_string_buffer(512)
        conf = self._lib.rd_kafka_conf_new()
        self._lib.rd_kafka_conf_set(conf, b"log_level", b"0", words, len(words))
        self._client = self._lib.rd_kafka_new(_PRODUCER, conf, words, len(words))
        assert self._client, words.value.decode()
        self._cluster = self._lib.rd_kafka_mock_cluster_new(self._client, brokers)
        assert self._cluster, "librdkafka made no mock cluster"
        self._lib.rd_kafka_mock_group_initial_rebalance_delay_ms(self._cluster, 0)
        self.bootstrap: str = self._lib.rd_kafka_mock_cluster_bootstraps(self._cluster).decode()

    def close(self) -> None:
        """The brokers are gone, with everything they kept."""
        self._lib.rd_kafka_mock_cluster_destroy(self._cluster)
        self._lib.rd_kafka_destroy(self._client)

    def create_topic(self, name: str, partitions: int) -> None:
        """The topic stands; without this it would appear on first use with 4 partitions."""
        self._check(self._lib.rd_kafka_mock_topic_create(self._cluster, name.encode(), partitions, 1))

    def fail_topic(self, name: str, error: int) -> None:
        """Metadata requests for the topic answer with this error code; 0 makes it well again."""
        self._lib.rd_kafka_mock_topic_set_error(self._cluster, name.encode(), error)

    def push_errors(self, api: Api, *errors: int) -> None:
        """The next requests of this kind get these error codes, one each (0 passes one, `_TRANSPORT` disconnects)."""
        codes = (_INT * len(errors))(*errors)
        self._lib.rd_kafka_mock_push_request_errors_array(self._cluster, api, len(errors), codes)

    def push_slow_errors(self, api: Api, *answers: tuple[int, int], broker: int = 1) -> None:
        """As `push_errors` on one broker, each answer (code, milliseconds to wait before it)."""
        flat = [_INT(number) for answer in answers for number in answer]
        call = self._lib.rd_kafka_mock_broker_push_request_error_rtts
        self._check(call(self._cluster, broker, api, len(answers), *flat))

    def errors_left(self, api: Api, broker: int = 1) -> int:
        """How many answers pushed for one broker by `push_slow_errors` have not been given yet."""
        left = ctypes.c_size_t()
        self._check(self._lib.rd_kafka_mock_broker_error_stack_cnt(self._cluster, broker, api, ctypes.byref(left)))
        return left.value

    def clear_errors(self, api: Api) -> None:
        """No error is waiting for requests of this kind."""
        self._lib.rd_kafka_mock_clear_request_errors(self._cluster, api)

    def take_down(self, broker: int = 1) -> None:
        """The broker disconnects its clients and takes no connection."""
        self._check(self._lib.rd_kafka_mock_broker_set_down(self._cluster, broker))

    def bring_up(self, broker: int = 1) -> None:
        """After `take_down`, the broker answers again with all it kept."""
        self._check(self._lib.rd_kafka_mock_broker_set_up(self._cluster, broker))

    def set_round_trip(self, milliseconds: int, broker: int = 1) -> None:
        """Every answer of the broker takes this long."""
        self._check(self._lib.rd_kafka_mock_broker_set_rtt(self._cluster, broker, milliseconds))

    def move_coordinator(self, kind: str, name: str, broker: int) -> None:
        """The coordinator of a "group" or a "transaction" id is this broker from now on."""
        self._check(self._lib.rd_kafka_mock_coordinator_set(self._cluster, kind.encode(), name.encode(), broker))

    def move_leader(self, topic: str, partition: int, broker: int) -> None:
        """This broker leads the partition from now on; -1 leaves it without a leader."""
        call = self._lib.rd_kafka_mock_partition_set_leader
        self._check(call(self._cluster, topic.encode(), partition, broker))

    def _check(self, code: int) -> None:
        assert code == 0, f"the mock cluster refused: {self._lib.rd_kafka_err2str(code).decode()}"


def library_with(functions: Mapping[str, list[Any]]) -> ctypes.CDLL:
    """The librdkafka that the client itself has loaded, with these functions declared: result, then arguments."""
    package = Path(confluent_kafka.__file__).parent
    bundled = [*package.parent.glob("confluent_kafka.libs/librdkafka*"), *package.glob(".dylibs/librdkafka*")]
    place = str(bundled[0]) if bundled else ctypes.util.find_library("rdkafka")
    assert place, "no librdkafka beside confluent_kafka"
    library = ctypes.CDLL(place)
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
