"""librdkafka properties: the lists match the linked library, and each client gets the properties of its kind."""

import ctypes
import logging
import os
import re
from collections.abc import Iterator

import pytest
from confluent_kafka import Consumer, Producer, cimpl
from confluent_kafka.admin import AdminClient

from telco_stream.settings.properties import (
    ALIASES,
    CONSUMER_ONLY,
    PRODUCER_ONLY,
    check_property_text,
    for_client,
    is_secret,
    refusal_reason,
)

_ROW = re.compile(r"^(?P<name>[\w.]+)\s*\|\s*(?P<kind>[CP*])\s*\|.*\|(?P<text>.*)$")
_ALIAS = re.compile(r"Alias for `([\w.]+)`")
#: The version of librdkafka from which the lists were made.
_LISTED_VERSION = 0x02_10_00_FF
BOTH = {"client.id": "t", "metadata.broker.list": "localhost:1"}
MIXED = BOTH | {"linger.ms": "7", "message.timeout.ms": "9000", "fetch.min.bytes": "1", "check.crcs": "true"}


@pytest.fixture(scope="module")
def documented(tmp_path_factory: pytest.TempPathFactory) -> list[re.Match[str]]:
    """Return the rows of librdkafka's table of properties: name, kind and description."""
    path = tmp_path_factory.mktemp("librdkafka") / "properties.md"
    libc, librdkafka = ctypes.CDLL(None), ctypes.CDLL(cimpl.__file__)
    libc.fopen.restype = ctypes.c_void_p
    file = ctypes.c_void_p(libc.fopen(os.fsencode(path), b"w"))
    librdkafka.rd_kafka_conf_properties_show(file)
    libc.fclose(file)
    return [row for line in path.read_text().splitlines() if (row := _ROW.match(line))]


def test_lists_match_the_linked_library(documented: list[re.Match[str]]) -> None:
    """An older library lacks some of the names."""
    kinds = {(row["name"], row["kind"]) for row in documented}
    assert len(kinds) > 150
    known = {name for name, _ in kinds}
    assert {name for name, kind in kinds if kind == "P"} == PRODUCER_ONLY & known
    assert {name for name, kind in kinds if kind == "C"} == CONSUMER_ONLY & known
    assert known >= PRODUCER_ONLY | CONSUMER_ONLY or ctypes.CDLL(cimpl.__file__).rd_kafka_version() < _LISTED_VERSION


def test_aliases_match_the_linked_library(documented: list[re.Match[str]]) -> None:
    pairs = {frozenset((row["name"], alias[1])) for row in documented if (alias := _ALIAS.search(row["text"]))}
    assert {frozenset(pair) for pair in ALIASES.items()} == pairs


def test_properties_are_refused_when_they_run_code(documented: list[re.Match[str]]) -> None:
    """The library's descriptions are searched, so that new properties are found."""
    runs_code = re.compile(r"\b(shell|command|plugins?|engine|dynamic library|providers)\b", re.IGNORECASE)
    names = {row["name"] for row in documented if runs_code.search(row["text"])}
    assert names >= {"plugin.library.paths", "ssl.engine.location", "sasl.kerberos.kinit.cmd", "ssl.providers"}
    assert [name for name in names if refusal_reason(name) is None] == []


@pytest.mark.parametrize("name", ["sasl.kerberos.principal", "sasl.kerberos.keytab", "sasl.kerberos.service.name"])
@pytest.mark.parametrize("text", ["a; touch /tmp/x", "$(touch /tmp/x)", "a`x`", "a\nx"])
def test_check_property_text_refuses_when_a_shell_would_run_it(name: str, text: str) -> None:
    assert check_property_text(name, "telco/host.example.com@EXAMPLE.COM")
    with pytest.raises(ValueError, match="shell"):
        check_property_text(name, text)


def test_for_client_selects_the_properties_of_its_kind() -> None:
    assert for_client("producer", MIXED).keys() - BOTH == {"linger.ms", "message.timeout.ms"}
    assert for_client("consumer", MIXED).keys() - BOTH == {"fetch.min.bytes", "check.crcs"}
    assert for_client("admin", MIXED) == BOTH


def test_for_client_keeps_unknown_properties() -> None:
    """A newer librdkafka may know them; it rejects wrong ones."""
    for kind in ("producer", "consumer", "admin"):
        assert for_client(kind, {"new.one": "1"}) == {"new.one": "1"}


class _Warnings(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines += [record.getMessage()] if "CONFWARN" in record.getMessage() else []


@pytest.fixture
def logger() -> Iterator[logging.Logger]:
    logger = logging.getLogger("test.librdkafka")
    logger.propagate = False
    logger.addHandler(_Warnings())
    yield logger
    logger.handlers.clear()


def warnings_of(logger: logging.Logger) -> list[str]:
    handler = logger.handlers[0]
    assert isinstance(handler, _Warnings)
    return handler.lines


def test_producer_does_not_warn_about_its_properties(logger: logging.Logger) -> None:
    Producer(for_client("producer", MIXED), logger=logger).poll(0)
    assert warnings_of(logger) == []
    Producer(MIXED, logger=logger).poll(0)
    assert len(warnings_of(logger)) == 2


def test_consumer_does_not_warn_about_its_properties(logger: logging.Logger) -> None:
    consumer = Consumer({"group.id": "g"} | for_client("consumer", MIXED), logger=logger)
    consumer.poll(0)
    consumer.close()
    assert warnings_of(logger) == []


def test_admin_client_does_not_warn_about_its_properties(logger: logging.Logger) -> None:
    AdminClient({**for_client("admin", MIXED)}, logger=logger).poll(0)
    assert warnings_of(logger) == []


@pytest.mark.parametrize(
    "name",
    [
        "sasl.password",
        "SASL.PASSWORD",
        "sasl.pasword",
        "sasl_password",
        "sasl.secert",
        "ssl.key.password",
        "ssl.key.pem",
        "ssl.certificate.pem",
        "ssl_key",
        "ssl.keystore.password",
        "sasl.oauthbearer.config",
        "sasl.oauthbearer.extensions",
        "sasl.oauthbearer.client.secret",
        "sasl.oauthbearer.client.credentials.client.secret",
        "sasl.oauthbearer.assertion.private.key.pem",
        "sasl.oauthbearer.assertion.private.key.passphrase",
        "sasl.oauthbearer.token",
        "sasl.jaas.config",
        "sasl.kerberos.kinit.cmd",
    ],
)
def test_is_secret_when_the_name_suggests_it(name: str) -> None:
    assert is_secret(name)


@pytest.mark.parametrize(
    "name",
    [
        "security.protocol",
        "sasl.mechanism",
        "sasl.username",
        "sasl.kerberos.keytab",
        "ssl.ca.location",
        "ssl.key.location",
        "sasl.oauthbearer.assertion.private.key.file",
        "enable.ssl.certificate.verification",
        "client.id",
        "linger.ms",
    ],
)
def test_is_secret_is_false_for_known_public_properties(name: str) -> None:
    assert not is_secret(name)
