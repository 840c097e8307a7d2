"""Error messages for failed logins and untrusted certificates, and a check of the TLS and SASL properties.

librdkafka only reports that a certificate "could not be verified". To distinguish an expired certificate from an
unknown CA, the handshake is repeated with Python's `ssl` module.
"""

import re
import socket
import ssl
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from confluent_kafka import KafkaError

from telco_stream import errors
from telco_stream.kafka.error_policy import AUTHENTICATION_FAILED, CERTIFICATE_REJECTED
from telco_stream.runtime.choices import variable_of

#: Seconds for the repeated TLS handshake.
_HANDSHAKE_TIMEOUT = 2.0
#: An error message of the client: `PROTOCOL://HOST:PORT/BROKER: … (after 5ms in state …)`; plaintext has no protocol.
_MESSAGE = re.compile(
    r"(?:(?:\w+://)?(?P<address>\S+)/\w+: )?(?:Connect to \S+ failed: )?"
    r"(?P<reason>.*?)(?: \(after \d+ms in state \w+.*\))?",
    re.DOTALL,
)
#: The part of a message in which the client repeats a property's value, which may be a secret.
_ECHO = re.compile(r" beginning at: .*", re.DOTALL)
#: Advice by a substring of OpenSSL's message.
_ADVICE = {
    "expired": "it has to be renewed on the broker",
    "not yet valid": "compare the clocks of broker and client",
    "mismatch": "use a name in --broker that the certificate is made out to",
}
_PASSWORD_LOGIN = ("sasl.username", "sasl.password")
#: Properties that each SASL mechanism of the client requires.
_MECHANISMS: dict[str, tuple[str, ...]] = {
    "PLAIN": _PASSWORD_LOGIN,
    "SCRAM-SHA-256": _PASSWORD_LOGIN,
    "SCRAM-SHA-512": _PASSWORD_LOGIN,
    "OAUTHBEARER": (),
    "GSSAPI": (),
}
_PROTOCOL = "TELCO_STREAM_KAFKA__SECURITY__PROTOCOL"


def check_login(properties: Mapping[str, str], brokers: str = "") -> None:
    """Raise `UsageError` if TLS or SASL is only partly configured.

    The client ignores properties that do not apply to its protocol: it would connect without encryption or login, or
    wait forever for a token.
    """
    configured = {name: text for name, text in properties.items() if text}
    protocol = configured.get("security.protocol", "plaintext").lower()
    problem = _protocol_problem(configured, protocol) or _broker_problem(brokers, protocol)
    if problem is None and protocol.startswith("sasl_"):
        problem = _sasl_problem(configured)
    problem = problem or _certificate_problem(configured)
    if problem:
        raise errors.UsageError(problem)


def _protocol_problem(configured: Mapping[str, str], protocol: str) -> str | None:
    """Return a message about a property that the protocol ignores, and a protocol that uses it."""
    has_sasl, has_tls = protocol.startswith("sasl_"), protocol in {"ssl", "sasl_ssl"}
    sasl = next((name for name in configured if name.startswith(("sasl.", "enable.sasl."))), None)
    if sasl and not has_sasl:
        protocols = "SASL_SSL" if has_tls else "SASL_SSL (or SASL_PLAINTEXT, without TLS)"
        return f"{_variable(sasl)} is set, but the client would connect without a login: set {_PROTOCOL} to {protocols}"
    tls = next((name for name in configured if name.startswith(("ssl.", "enable.ssl."))), None)
    if tls and not has_tls:
        protocols = "SASL_SSL" if has_sasl else "SSL (or SASL_SSL, with a login)"
        return f"{_variable(tls)} is set, but the client would connect without TLS: set {_PROTOCOL} to {protocols}"
    return None


def _broker_problem(brokers: str, protocol: str) -> str | None:
    """Return a message about a broker that the client ignores because its address names another protocol."""
    for prefix in re.findall(r"(\w+)://", brokers):
        if prefix.lower() != protocol:
            return f"--broker names {prefix}://, which the client would ignore: set {_PROTOCOL} to {prefix.upper()}"
    return None


def _sasl_problem(configured: Mapping[str, str]) -> str | None:
    """Return a message about a property that the SASL mechanism lacks."""
    mechanism = _mechanism(configured)
    if mechanism not in _MECHANISMS:
        problem = "is not a mechanism of the client" if mechanism else "is not set"
        return f"{_variable('sasl.mechanism')} {problem}: set it to one of {', '.join(_MECHANISMS)}"
    missing = [name for name in _MECHANISMS[mechanism] if name not in configured]
    if missing:
        return f"{mechanism} needs {' and '.join(map(_variable, missing))}"
    has_token_source = (
        configured.get("sasl.oauthbearer.method", "").lower() == "oidc"
        or configured.get("enable.sasl.oauthbearer.unsecure.jwt", "").lower() == "true"
    )
    if mechanism == "OAUTHBEARER" and not has_token_source:
        return (
            f"OAUTHBEARER needs a source of tokens: set {_variable('sasl.oauthbearer.method')}=oidc, and with it"
            " __TOKEN__ENDPOINT__URL, __CLIENT__ID and __CLIENT__SECRET"
        )
    return None


def _certificate_problem(configured: Mapping[str, str]) -> str | None:
    """Return a message about a client certificate without its key or the reverse; the client would use neither."""
    halves = {"certificate": "ssl.certificate.", "key": "ssl.key."}
    has = {half: f"{start}location" in configured or f"{start}pem" in configured for half, start in halves.items()}
    if has["certificate"] == has["key"]:
        return None
    present, missing = ("certificate", "key") if has["certificate"] else ("key", "certificate")
    return f"A client {present} is set without its {missing}: set {_variable(f'ssl.{missing}.location')}"


def refusal(error: KafkaError, brokers: str, properties: Mapping[str, str]) -> errors.KafkaError:
    """Return the user's error for a failed login or TLS handshake: the broker, the reason and the setting to check."""
    message = without_echo(error.str())
    match = _MESSAGE.fullmatch(message)
    address, reason = (match["address"] or brokers, match["reason"]) if match else (brokers, message)
    if error.code() in AUTHENTICATION_FAILED:
        return errors.KafkaError(f"Kafka at {address} rejected the login: {reason}; check {_login(properties)}")
    if CERTIFICATE_REJECTED not in reason:
        return errors.KafkaError(f"TLS with Kafka at {address} failed: {reason}; check TELCO_STREAM_KAFKA__SSL__*")
    problem = certificate_problem(address, properties)
    matching = (advice for text, advice in _ADVICE.items() if text in problem)
    advice = next(matching, "TELCO_STREAM_KAFKA__SSL__CA__LOCATION should name the authority that signed it")
    return errors.KafkaError(
        f"The certificate of Kafka at {address} isn't trusted: {problem or CERTIFICATE_REJECTED}; {advice}"
    )


def address_of(error: KafkaError) -> str | None:
    """Return `HOST:PORT` of the broker that an error is about, if the client names it."""
    match = re.search(r"\w+://(\S+)/\w+: ", error.str())
    return match[1] if match else None


def reason_of(error: KafkaError) -> str:
    """Return the reason in an error message of the client, without the broker's address and the connection's state."""
    if error.code() == KafkaError._BAD_MSG:  # noqa: SLF001 - the client's own message would suggest to raise a limit
        return "something else answers there"
    message = without_echo(error.str())
    match = _MESSAGE.fullmatch(message)
    return match["reason"] if match else message


def is_unconnected(error: KafkaError) -> bool:
    """Return whether the client could not open a connection: nothing listens there, or the name is unknown."""
    return "in state CONNECT" in error.str()


def without_echo(text: str) -> str:
    """Remove a property's value, which may be a secret, from an error message of the client."""
    return _ECHO.sub("", text)


def certificate_problem(address: str, properties: Mapping[str, str]) -> str:
    """Return OpenSSL's reason to reject the certificate of `HOST:PORT`; empty if it accepts or cannot get it."""
    try:
        url = urlsplit(f"//{address}")
        context = _context(properties)
        with (
            socket.create_connection((url.hostname or "", url.port or 0), _HANDSHAKE_TIMEOUT) as connection,
            context.wrap_socket(connection, server_hostname=url.hostname),
        ):
            return ""
    except ssl.SSLCertVerificationError as error:
        return error.verify_message
    except (OSError, ValueError):
        return ""


def _login(properties: Mapping[str, str]) -> str:
    """Return the names of the environment variables that configure the login."""
    if _mechanism(properties) == "OAUTHBEARER":
        return "TELCO_STREAM_KAFKA__SASL__OAUTHBEARER__*"
    return "TELCO_STREAM_KAFKA__SASL__MECHANISM, __USERNAME and __PASSWORD"


def _variable(name: str) -> str:
    return variable_of(f"kafka.{name}")


def _mechanism(properties: Mapping[str, str]) -> str:
    return properties.get("sasl.mechanism", properties.get("sasl.mechanisms", ""))


def _context(properties: Mapping[str, str]) -> ssl.SSLContext:
    """Return an SSL context that trusts the same certificates as the client."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = properties.get("ssl.endpoint.identification.algorithm", "https") == "https"
    location, pem = properties.get("ssl.ca.location", "probe"), properties.get("ssl.ca.pem")
    if pem:
        context.load_verify_locations(cadata=pem)
    elif location == "probe":
        context.set_default_verify_paths()
    else:
        context.load_verify_locations(**{"capath" if Path(location).is_dir() else "cafile": location})
    return context
