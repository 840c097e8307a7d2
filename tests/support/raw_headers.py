"""Sends records whose header names are not UTF-8, as C and Go clients can; Python's client cannot."""

import ctypes

from tests.support.mock_cluster import library_with

#: librdkafka's tags for the arguments of `rd_kafka_producev`, each before its values; the last ends the list.
_END, _TOPIC, _VALUE, _KEY, _MESSAGE_FLAGS, _HEADERS = 0, 1, 4, 5, 7, 10
_PRODUCER, _COPY = 0, 2
_POINTER, _INT, _SIZE, _TEXT = ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t, ctypes.c_char_p


def send_with_header(bootstrap: str, topic: str, value: bytes, name: bytes, *, key: bytes = b"k") -> None:
    """Send a record with a header of this name and wait for its confirmation."""
    library = library_with(
        {
            "rd_kafka_conf_new": [_POINTER],
            "rd_kafka_conf_set": [_INT, _POINTER, _TEXT, _TEXT, _TEXT, _SIZE],
            "rd_kafka_new": [_POINTER, _INT, _POINTER, _TEXT, _SIZE],
            "rd_kafka_headers_new": [_POINTER, _SIZE],
            "rd_kafka_header_add": [_INT, _POINTER, _TEXT, ctypes.c_ssize_t, _TEXT, ctypes.c_ssize_t],
            "rd_kafka_flush": [_INT, _POINTER, _INT],
            "rd_kafka_destroy": [None, _POINTER],
        }
    )
    message, settings = ctypes.create_string_buffer(512), library.rd_kafka_conf_new()
    library.rd_kafka_conf_set(settings, b"bootstrap.servers", bootstrap.encode(), message, 512)
    client, headers = library.rd_kafka_new(_PRODUCER, settings, message, 512), library.rd_kafka_headers_new(1)
    assert client, message.value
    library.rd_kafka_header_add(headers, name, len(name), b"x", 1)
    error = library.rd_kafka_producev(
        _POINTER(client),
        *(_INT(_TOPIC), _TEXT(topic.encode())),
        *(_INT(_MESSAGE_FLAGS), _INT(_COPY)),
        *(_INT(_VALUE), _TEXT(value), _SIZE(len(value))),
        *(_INT(_KEY), _TEXT(key), _SIZE(len(key))),
        *(_INT(_HEADERS), _POINTER(headers)),
        _INT(_END),
    )
    assert not error, f"producev: {error}"
    assert not library.rd_kafka_flush(client, 10_000), "the record was not confirmed"
    library.rd_kafka_destroy(client)
