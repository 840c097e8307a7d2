"""Errors for failed logins and rejected certificates: broker, reason and advice."""

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from confluent_kafka import KafkaError

from telco_stream.errors import UsageError
from telco_stream.kafka.auth_errors import certificate_problem, check_login, refusal
from tests.support.certificates import NO_OPENSSL, Pair, make_authority, sign
from tests.support.in_process import run_in_process

WRONG_PASSWORD = (
    "sasl_ssl://kafka:9093/bootstrap: SASL authentication error: Authentication failed due to invalid credentials"
    " (after 309ms in state AUTH_REQ)"
)
NOT_VERIFIED = (
    "ssl://{}/1: SSL handshake failed: error:0A000086:SSL routines::certificate verify failed: broker certificate could"
    " not be verified, verify that ssl.ca.location is correctly configured (after 6ms in state SSL_HANDSHAKE, 1"
    " identical error(s) suppressed)"
)
PASSWORD_LOGIN = {"sasl.username": "somebody", "sasl.password": "something"}
SCRAM = PASSWORD_LOGIN | {"security.protocol": "SASL_SSL", "sasl.mechanism": "SCRAM-SHA-512"}
needs_openssl = pytest.mark.skipif(NO_OPENSSL is not None, reason=str(NO_OPENSSL))


def test_refusal_names_reason_and_settings_when_login_fails() -> None:
    error = KafkaError(KafkaError._AUTHENTICATION, WRONG_PASSWORD)
    assert str(refusal(error, "a:1,b:2", {})) == (
        "Kafka at kafka:9093 rejected the login: SASL authentication error: Authentication failed due to invalid"
        " credentials; check TELCO_STREAM_KAFKA__SASL__MECHANISM, __USERNAME and __PASSWORD"
    )


def test_refusal_hides_the_property_when_a_token_is_invalid() -> None:
    """The client repeats the part of a property that it cannot parse."""
    text = "Failed to acquire SASL OAUTHBEARER token: Unrecognized sasl.oauthbearer.config beginning at: hunter2"
    message = str(refusal(KafkaError(KafkaError._AUTHENTICATION, text), "a:1", {"sasl.mechanism": "OAUTHBEARER"}))
    assert "hunter2" not in message
    assert message.endswith("sasl.oauthbearer.config; check TELCO_STREAM_KAFKA__SASL__OAUTHBEARER__*")


@pytest.mark.parametrize("mechanism", ["sasl.mechanism", "sasl.mechanisms"])
def test_check_login_refuses_when_tokens_have_no_source(mechanism: str) -> None:
    login = {"security.protocol": "SASL_SSL", mechanism: "OAUTHBEARER"}
    with pytest.raises(UsageError, match="__METHOD=oidc"):
        check_login(login | {"sasl.oauthbearer.method": "default"})
    check_login(login | {"sasl.oauthbearer.method": "OIDC"})
    check_login(login | {"enable.sasl.oauthbearer.unsecure.jwt": "true"})


@pytest.mark.parametrize(
    ("properties", "setting"),
    [
        (PASSWORD_LOGIN, "SECURITY__PROTOCOL to SASL_SSL"),
        (PASSWORD_LOGIN | {"security.protocol": "ssl"}, "SECURITY__PROTOCOL to SASL_SSL$"),
        ({"sasl.mechanism": "GSSAPI"}, "SECURITY__PROTOCOL to SASL_SSL"),
        ({"enable.sasl.oauthbearer.unsecure.jwt": "true"}, "SECURITY__PROTOCOL to SASL_SSL"),
        ({"ssl.ca.location": "ca.pem"}, "SECURITY__PROTOCOL to SSL"),
        ({"enable.ssl.certificate.verification": "true"}, "SECURITY__PROTOCOL to SSL"),
        (SCRAM | {"security.protocol": "SASL_PLAINTEXT", "ssl.ca.pem": "x"}, "SECURITY__PROTOCOL to SASL_SSL$"),
        (PASSWORD_LOGIN | {"security.protocol": "sasl_plaintext"}, "SASL__MECHANISM is not set"),
        (SCRAM | {"sasl.mechanism": "scram-sha-512"}, "SASL__MECHANISM is not a mechanism"),
        (SCRAM | {"sasl.password": ""}, "SCRAM-SHA-512 needs TELCO_STREAM_KAFKA__SASL__PASSWORD$"),
        ({"security.protocol": "SASL_SSL", "sasl.mechanisms": "PLAIN"}, "__SASL__USERNAME and .*__SASL__PASSWORD$"),
        ({"security.protocol": "SSL", "ssl.certificate.location": "a.pem"}, "set .*__SSL__KEY__LOCATION$"),
        ({"security.protocol": "SSL", "ssl.key.pem": "x"}, "set .*__SSL__CERTIFICATE__LOCATION$"),
    ],
)
def test_check_login_refuses_when_half_is_missing(properties: dict[str, str], setting: str) -> None:
    with pytest.raises(UsageError, match=setting):
        check_login(properties)


@pytest.mark.parametrize(
    "properties",
    [
        {},
        {"sasl.username": "", "sasl.password": "", "ssl.ca.location": ""},
        SCRAM,
        SCRAM | {"security.protocol": "sasl_plaintext", "https.ca.location": "ca.pem"},
        {"security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": "GSSAPI", "sasl.kerberos.keytab": "/k"},
        {"security.protocol": "SSL", "ssl.certificate.location": "a.pem", "ssl.key.location": "a.key"},
        {"security.protocol": "SSL", "ssl.certificate.pem": "x", "ssl.key.pem": "y", "ssl.key.password": "z"},
        {"security.protocol": "SSL", "ssl.keystore.location": "a.p12", "ssl.keystore.password": "z"},
    ],
)
def test_check_login_accepts_complete_configurations(properties: dict[str, str]) -> None:
    check_login(properties)


@pytest.mark.parametrize("brokers", ["SSL://a:1", "a:1,SASL_SSL://b:2", "PLAINTEXT://a:1,ssl://b:2"])
def test_check_login_refuses_when_a_broker_has_another_protocol(brokers: str) -> None:
    """The client would log a warning and ignore that broker."""
    with pytest.raises(UsageError, match=r"SECURITY__PROTOCOL to (SASL_)?SSL$"):
        check_login({}, brokers)
    check_login({}, "PLAINTEXT://a:1,b:2")
    check_login({"security.protocol": "SSL"}, "ssl://a:1,SSL://b:2")


def test_status_refuses_when_password_would_not_be_used(kafka: str) -> None:
    """The broker requires no login, so that the command would work in plain text."""
    done = run_in_process("status", "--broker", kafka, env={"TELCO_STREAM_KAFKA__SASL__PASSWORD": "hunter2"})
    assert done.code == UsageError.exit_code
    assert "TELCO_STREAM_KAFKA__SECURITY__PROTOCOL" in done.err


def test_refusal_keeps_the_message_when_its_form_is_unknown() -> None:
    message = str(refusal(KafkaError(KafkaError._SSL, "no cipher\nmatch"), "a:1", {}))
    assert message == "TLS with Kafka at a:1 failed: no cipher\nmatch; check TELCO_STREAM_KAFKA__SSL__*"


def test_refusal_says_untrusted_when_the_server_is_away() -> None:
    """The broker may be down by now, and an invalid address must not raise another error."""
    for address in ("127.0.0.1:1", "[::1", "kafka"):
        assert certificate_problem(address, {}) == ""
    message = str(refusal(KafkaError(KafkaError._SSL, NOT_VERIFIED.format("127.0.0.1:1")), "a:1", {}))
    assert message.startswith("The certificate of Kafka at 127.0.0.1:1 isn't trusted: certificate verify failed; ")


@needs_openssl
def test_certificate_problem_returns_the_reason(tmp_path: Path) -> None:
    ours, theirs = make_authority(tmp_path, "ours"), make_authority(tmp_path, "theirs")
    trust = {"ssl.ca.location": str(ours.certificate)}
    with tls_server(sign(ours, tmp_path, "good", 2)) as port:
        assert certificate_problem(f"localhost:{port}", trust) == ""
        assert certificate_problem(f"localhost:{port}", {"ssl.ca.pem": ours.certificate.read_text()}) == ""
        empty_folder = {"ssl.ca.location": str(tmp_path)}
        assert "unable to get local issuer" in certificate_problem(f"localhost:{port}", empty_folder)
        assert "unable to get local issuer" in certificate_problem(f"localhost:{port}", {})
        assert "unable to get local issuer" in certificate_problem(
            f"localhost:{port}", {"ssl.ca.location": str(theirs.certificate)}
        )
        assert "mismatch" in certificate_problem(f"127.0.0.2:{port}", trust)
        assert certificate_problem(f"127.0.0.2:{port}", trust | {"ssl.endpoint.identification.algorithm": "none"}) == ""


@needs_openssl
def test_refusal_gives_advice_for_the_certificate_problem(tmp_path: Path) -> None:
    ours, theirs = make_authority(tmp_path, "ours"), make_authority(tmp_path, "theirs")
    with tls_server(sign(ours, tmp_path, "old", -1)) as port:
        error = KafkaError(KafkaError._TRANSPORT, NOT_VERIFIED.format(f"localhost:{port}"))
        message = str(refusal(error, "a:1", {"ssl.ca.location": str(ours.certificate)}))
        assert message.endswith("isn't trusted: certificate has expired; it has to be renewed on the broker")
        message = str(refusal(error, "a:1", {"ssl.ca.location": str(theirs.certificate)}))
        assert message.endswith("; TELCO_STREAM_KAFKA__SSL__CA__LOCATION should name the authority that signed it")


@contextmanager
def tls_server(pair: Pair) -> Iterator[int]:
    """Yield the port of a TLS server with this certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.certificate, pair.key)
    with socket.create_server(("", 0)) as door:

        def greet() -> None:
            while True:
                try:
                    line, _ = door.accept()
                except OSError:
                    return
                with line, suppress(OSError):
                    context.wrap_socket(line, server_side=True).close()

        thread = threading.Thread(target=greet)
        thread.start()
        yield door.getsockname()[1]
        door.shutdown(socket.SHUT_RDWR)
        thread.join()
