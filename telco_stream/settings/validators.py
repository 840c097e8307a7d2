"""Checks of setting values that librdkafka would misread or reject later."""

import re

#: A broker address as librdkafka reads it. The default port is 9092; a port above 65,535 would wrap around.
_BROKER = re.compile(r"((SASL_)?(PLAINTEXT|SSL)://)?([\w.-]+|\[[0-9a-f:.]+\])(:(?P<port>\d{1,5}))?", re.IGNORECASE)
_MAX_PORT = 65_535
#: Properties that become part of the name of a group member.
_MEMBER_PROPERTIES = {"client.id", "group.instance.id"}
#: Properties that librdkafka inserts into the `kinit` command, which a shell runs.
_KINIT_PROPERTIES = {"sasl.kerberos.principal", "sasl.kerberos.keytab", "sasl.kerberos.service.name"}


def check_brokers(text: str) -> str:
    """Return the text if it lists at least one broker address; raises ValueError otherwise."""
    brokers = [_BROKER.fullmatch(address.strip()) for address in text.split(",") if address.strip()]
    if not brokers or not all(broker and 1 <= int(broker["port"] or 9092) <= _MAX_PORT for broker in brokers):
        raise ValueError("use HOST:PORT[,HOST:PORT...]")
    return text


def check_member(text: str) -> str:
    """Return the name of a group or member if the client can commit offsets with it; raises ValueError otherwise."""
    if not (text and text.isascii() and text.isprintable()):
        raise ValueError("use printable ASCII characters; the client cannot commit offsets with others")
    return text


def check_property_text(name: str, text: str) -> str:
    """Return the text if it is safe as the value of the property; raises ValueError otherwise."""
    if name in _KINIT_PROPERTIES and not re.fullmatch(r"[\w./@:+-]*", text, re.ASCII):
        raise ValueError("use only letters, digits and . / @ : + - _ because the client passes the value to a shell")
    return check_member(text) if name in _MEMBER_PROPERTIES else text


def check_text(text: str) -> str:
    """Return the text if it is UTF-8 and has no NUL; raises ValueError otherwise."""
    if not text.isascii() and any("\ud800" <= char <= "\udfff" for char in text):
        raise ValueError("not UTF-8 text")
    if "\0" in text:
        raise ValueError("contains a NUL character")
    return text
