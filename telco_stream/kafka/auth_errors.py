"""A broker that is there, and refuses: its certificate isn't trusted here, or the user isn't let in there.

librdkafka says of every certificate only that it "could not be verified". What is wrong with it, an expired date or an
authority that nobody knows, is asked of OpenSSL once more.
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
from telco_stream.settings.environment import variable_of

#: Seconds that the broker has to show its certificate again.
_PATIENCE = 2.0
#: The client's `PROTOCOL://HOST:PORT/BROKER: … (after 5ms in state …)`.
_WORDS = re.compile(r"(?:\w+://(?P<address>\S+)/\w+: )?(?P<reason>.*?)(?: \(after \d+ms in state \w+.*\))?", re.DOTALL)
#: Where the client goes on with what it was given, which may be a secret.
_ECHO = re.compile(r" beginning at: .*", re.DOTALL)
#: What OpenSSL says of a certificate, and what to do about it.
_ADVICE = {
    "expired": "it has to be renewed on the broker",
    "not yet valid": "compare the clocks of broker and client",
    "mismatch": "use a name in --broker that the certificate is made out to",
}
_PASSWORD_LOGIN = ("sasl.username", "sasl.password")
#: The mechanisms that the client knows, as it spells them, and what each needs.
_MECHANISMS: dict[str, tuple[str, ...]] = {
    "PLAIN": _PASSWORD_LOGIN,
    "SCRAM-SHA-256": _PASSWORD_LOGIN,
    "SCRAM-SHA-512": _PASSWORD_LOGIN,
    "OAUTHBEARER": (),
    "GSSAPI": (),
}
_PROTOCOL = "TELCO_STREAM_KAFKA__SECURITY__PROTOCOL"


def check_login(properties: Mapping[str, str], brokers: str = "") -> None:
    """Raise `UsageError` for TLS or SASL that is configured by half.

    The client would ignore the properties that its protocol has no use for and connect without encryption or login, or
    wait forever for a token.
    """
    given = {name: text for name, text in properties.items() if text}
    protocol = given.get("security.protocol", "plaintext").lower()
    problem = _protocol_problem(given, protocol) or _broker_problem(brokers, protocol)
    if problem is None and protocol.startswith("sasl_"):
        problem = _sasl_problem(given)
    problem = problem or _certificate_problem(given)
    if problem:
        raise errors.UsageError(problem)


def _protocol_problem(given: Mapping[str, str], protocol: str) -> str | None:
    """Say which property the protocol would ignore, and which protocol uses it."""
    has_sasl, has_tls = protocol.startswith("sasl_"), protocol in {"ssl", "sasl_ssl"}
    sasl = next((name for name in given if name.startswith(("sasl.", "enable.sasl."))), None)
    if sasl and not has_sasl:
        wanted = "SASL_SSL" if has_tls else "SASL_SSL (or SASL_PLAINTEXT, without TLS)"
        return f"{_variable(sasl)} is set, but the client would connect without a login: set {_PROTOCOL} to {wanted}"
    tls = next((name for name in given if name.startswith(("ssl.", "enable.ssl."))), None)
    if tls and not has_tls:
        wanted = "SASL_SSL" if has_sasl else "SSL (or SASL_SSL, with a login)"
        return f"{_variable(tls)} is set, but the client would connect without TLS: set {_PROTOCOL} to {wanted}"
    return None


def _broker_problem(brokers: str, protocol: str) -> str | None:
    """Say which broker the client would leave out, because its address names another protocol."""
    for prefix in re.findall(r"(\w+)://", brokers):
        if prefix.lower() != protocol:
            return f"--broker names {prefix}://, which the client would leave out: set {_PROTOCOL} to {prefix.upper()}"
    return None


def _sasl_problem(given: Mapping[str, str]) -> str | None:
    """Say what a login lacks."""
    mechanism = _mechanism(given)
    if mechanism not in _MECHANISMS:
        what = "is not a mechanism of the client" if mechanism else "is not set"
        return f"{_variable('sasl.mechanism')} {what}: set it to one of {', '.join(_MECHANISMS)}"
    lacking = [name for name in _MECHANISMS[mechanism] if name not in given]
    if lacking:
        return f"{mechanism} needs {' and '.join(map(_variable, lacking))}"
    has_source = (
        given.get("sasl.oauthbearer.method", "").lower() == "oidc"
        or given.get("enable.sasl.oauthbearer.unsecure.jwt", "").lower() == "true"
    )
    if mechanism == "OAUTHBEARER" and not has_source:
        return (
            f"OAUTHBEARER needs a source of tokens: set {_variable('sasl.oauthbearer.method')}=oidc, and with it"
            " __TOKEN__ENDPOINT__URL, __CLIENT__ID and __CLIENT__SECRET"
        )
    return None


def _certificate_problem(given: Mapping[str, str]) -> str | None:
    """Say which half of a client certificate is missing: the client would connect without one."""
    halves = {"certificate": "ssl.certificate.", "key": "ssl.key."}
    has = {half: f"{start}location" in given or f"{start}pem" in given for half, start in halves.items()}
    if has["certificate"] == has["key"]:
        return None
    there, missing = ("certificate", "key") if has["certificate"] else ("key", "certificate")
    return f"A client {there} is set without its {missing}: set {_variable(f'ssl.{missing}.location')}"


def refusal(error: KafkaError, where: str, properties: Mapping[str, str]) -> errors.KafkaError:
    """The error that a user sees: who refuses whom, why, and which setting to look at."""
    words = without_echo(error.str())
    found = _WORDS.fullmatch(words)
    address, reason = (found["address"] or where, found["reason"]) if found else (where, words)
    if error.code() in AUTHENTICATION_FAILED:
        return errors.KafkaError(f"Kafka at {address} doesn't let this user in: {reason}; check {_login(properties)}")
    if CERTIFICATE_REJECTED not in reason:
        return errors.KafkaError(f"TLS with Kafka at {address} failed: {reason}; check TELCO_STREAM_KAFKA__SSL__*")
    why = why_untrusted(address, properties)
    advice = (todo for said, todo in _ADVICE.items() if said in why)
    todo = next(advice, "TELCO_STREAM_KAFKA__SSL__CA__LOCATION should name the authority that signed it")
    return errors.KafkaError(
        f"The certificate of Kafka at {address} isn't trusted: {why or CERTIFICATE_REJECTED}; {todo}"
    )


def address_of(error: KafkaError) -> str | None:
    """Return `HOST:PORT` of the broker that an error is about, if the client names it."""
    found = re.search(r"\w+://(\S+)/\w+: ", error.str())
    return found[1] if found else None


def without_echo(text: str) -> str:
    """The client's words without any of a property's value."""
    return _ECHO.sub("", text)


def why_untrusted(address: str, properties: Mapping[str, str]) -> str:
    """What OpenSSL has against the certificate shown at `HOST:PORT`; empty where it has nothing, or can't see it."""
    try:
        place = urlsplit(f"//{address}")
        context = _context(properties)
        with (
            socket.create_connection((place.hostname or "", place.port or 0), _PATIENCE) as line,
            context.wrap_socket(line, server_hostname=place.hostname),
        ):
            return ""
    except ssl.SSLCertVerificationError as error:
        return error.verify_message
    except (OSError, ValueError):
        return ""


def _login(properties: Mapping[str, str]) -> str:
    """Which variables a user comes in by."""
    if _mechanism(properties) == "OAUTHBEARER":
        return "TELCO_STREAM_KAFKA__SASL__OAUTHBEARER__*"
    return "TELCO_STREAM_KAFKA__SASL__MECHANISM, __USERNAME and __PASSWORD"


def _variable(name: str) -> str:
    return variable_of(f"kafka.{name}")


def _mechanism(properties: Mapping[str, str]) -> str:
    return properties.get("sasl.mechanism", properties.get("sasl.mechanisms", ""))


def _context(properties: Mapping[str, str]) -> ssl.SSLContext:
    """Trusts whom the client trusts."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = properties.get("ssl.endpoint.identification.algorithm", "https") == "https"
    place, text = properties.get("ssl.ca.location", "probe"), properties.get("ssl.ca.pem")
    if text:
        context.load_verify_locations(cadata=text)
    elif place == "probe":
        context.set_default_verify_paths()
    else:
        context.load_verify_locations(**{"capath" if Path(place).is_dir() else "cafile": place})
    return context
