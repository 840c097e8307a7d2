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
from telco_stream.kafka.trouble import NOT_LET_IN, UNTRUSTED

#: Seconds that the broker has to show its certificate again.
_PATIENCE = 2.0
#: The client's `PROTOCOL://HOST:PORT/BROKER: … (after 5ms in state …)`.
_WORDS = re.compile(r"(?:\w+://(?P<address>\S+)/\w+: )?(?P<reason>.*?)(?: \(after \d+ms in state \w+.*\))?", re.DOTALL)
#: What OpenSSL says of a certificate, and what to do about it.
_ADVICE = {
    "expired": "it has to be renewed on the broker",
    "not yet valid": "compare the clocks of broker and client",
    "mismatch": "use a name in --broker that the certificate is made out to",
}


def refusal(error: KafkaError, where: str, properties: Mapping[str, str]) -> errors.KafkaError:
    """The error that a user sees: who refuses whom, why, and which setting to look at."""
    found = _WORDS.fullmatch(error.str())
    address, reason = (found["address"] or where, found["reason"]) if found else (where, error.str())
    if error.code() in NOT_LET_IN:
        return errors.KafkaError(
            f"Kafka at {address} doesn't let this user in: {reason}; check TELCO_STREAM_KAFKA__SASL__MECHANISM,"
            " __USERNAME and __PASSWORD"
        )
    if UNTRUSTED not in reason:
        return errors.KafkaError(f"TLS with Kafka at {address} failed: {reason}; check TELCO_STREAM_KAFKA__SSL__*")
    why = why_untrusted(address, properties)
    advice = (todo for said, todo in _ADVICE.items() if said in why)
    todo = next(advice, "TELCO_STREAM_KAFKA__SSL__CA__LOCATION should name the authority that signed it")
    return errors.KafkaError(f"The certificate of Kafka at {address} isn't trusted: {why or UNTRUSTED}; {todo}")


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
