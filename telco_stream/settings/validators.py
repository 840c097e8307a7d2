"""What the client would misread, wait for or fail on, found in a value's text before it gets there."""

import re

#: One broker as the client takes it: its default port is 9092, and it wraps a port that is too large round to another.
_BROKER = re.compile(r"((SASL_)?(PLAINTEXT|SSL)://)?([\w.-]+|\[[0-9a-f:.]+\])(:(?P<port>\d{1,5}))?", re.IGNORECASE)
_LAST_PORT = 65_535
#: Properties that go into a group member's name.
_MEMBERS = {"client.id", "group.instance.id"}
#: Properties that the client puts into the command line of `kinit`, which a shell runs.
_KINIT = {"sasl.kerberos.principal", "sasl.kerberos.keytab", "sasl.kerberos.service.name"}


def check_brokers(text: str) -> str:
    """The text, which names at least one broker; raises ValueError."""
    brokers = [_BROKER.fullmatch(one.strip()) for one in text.split(",") if one.strip()]
    if not brokers or not all(one and 1 <= int(one["port"] or 9092) <= _LAST_PORT for one in brokers):
        raise ValueError("write HOST:PORT[,HOST:PORT...]")
    return text


def check_member(text: str) -> str:
    """The text, as a name of a group or of its members; raises ValueError for one that fails every transaction."""
    if not (text and text.isascii() and text.isprintable()):
        raise ValueError("write printable letters of ASCII: the client takes no others where it commits offsets")
    return text


def check_property_text(name: str, text: str) -> str:
    """The text, as the value of that property; raises ValueError."""
    if name in _KINIT and not re.fullmatch(r"[\w./@:+-]*", text, re.ASCII):
        raise ValueError("write letters, digits and . / @ : + - _ only: the client passes it to a shell")
    return check_member(text) if name in _MEMBERS else text


def check_text(text: str) -> str:
    """The text, if it is one; raises ValueError for bytes of another encoding, and for a NUL."""
    if not text.isascii() and any("\ud800" <= letter <= "\udfff" for letter in text):
        raise ValueError("it is not UTF-8 text")
    if "\0" in text:
        raise ValueError("it holds a NUL")
    return text
