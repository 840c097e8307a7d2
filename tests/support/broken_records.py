"""Records that are valid but for one or two faults, for any contract."""

import json
from collections.abc import Callable, Iterator, Sequence
from random import Random
from typing import Any

from telco_stream.contract.schema import Contract

Event = dict[str, Any]
#: Makes a record of an event, the name of a field and random numbers.
Break = Callable[[Event, str, Random], bytes | None]

#: Values of any type, at the limits of their types, and texts that look like other types.
ODD: list[Any] = [
    *(None, True, False, 0, 1, -1, 1.5, 5.0, -0.0, 1e37, -1e38, 1e308, 2**53 + 1, 10**30, -(10**400)),
    *("", " ", "\t", "0", "1", "5.0", " 5", "1e2", "1e999", "NaN", "Infinity", "null", "NULL", "NA", "true", "FALSE"),
    *("yes", "x" * 1_000, "é", "\0", "\u2028", "🙂", [], {}, [1], {"a": None}, [[[]]]),
]
#: JSON, or nearly, that `json.dumps` does not write.
RAW = [
    *("NaN", "-Infinity", "1e999", "-1e999", "1e-999", "9" * 5_000, "01", "+1", ".5", "tru", "'x'", '"\\ud800"'),
    *('"\\x"', "[" * 2_000 + "]" * 2_000, '{"a":' * 500 + "1" + "}" * 500, "\x00", '"\t"', ""),
]
DEEP = [b"[" * 100_000, b'{"a":' * 100_000, b"[" * 5_000 + b"]" * 5_000]


def broken_records(contract: Contract, good: Sequence[bytes], random: Random) -> Iterator[bytes | None]:
    """Yield records without end, each made from one of the good ones."""
    names = [contract.key.name, *(column.name for column in contract.columns), contract.time.name]
    while True:
        event = json.loads(random.choice(good))
        yield random.choice(BREAKS)(event, random.choice(names), random)


def _odd_value(event: Event, name: str, random: Random) -> bytes:
    return _encode(event | {name: random.choice(ODD)})


def _two_odd_values(event: Event, name: str, random: Random) -> bytes:
    return _encode(event | {name: random.choice(ODD), random.choice(list(event)): random.choice(ODD)})


def _number(event: Event, name: str, random: Random) -> bytes:
    return _encode(event | {name: random.choice((-1, 1)) * 10 ** random.uniform(-320, 308)})


def _text(event: Event, name: str, random: Random) -> bytes:
    """Use the value of another field, as text."""
    return _encode(event | {name: str(random.choice(list(event.values())))})


def _missing(event: Event, name: str, random: Random) -> bytes:
    for missing in {name, random.choice(list(event))}:
        event.pop(missing, None)
    return _encode(event)


def _raw_value(event: Event, name: str, random: Random) -> bytes:
    return _encode(event | {name: "\x01"}).replace(b'"\\u0001"', random.choice(RAW).encode())


def _twice(event: Event, name: str, random: Random) -> bytes:
    pair = f"{json.dumps(name)}:{json.dumps(random.choice(ODD))}".encode()
    value = _encode(event)
    return b"{" + pair + b"," + value[1:] if random.random() < 1 / 2 else value[:-1] + b"," + pair + b"}"


def _cut(event: Event, _name: str, random: Random) -> bytes:
    value = _encode(event)
    return value[: random.randrange(len(value))]


def _flipped_bits(event: Event, _name: str, random: Random) -> bytes:
    value = bytearray(_encode(event))
    for _ in range(random.randint(1, 3)):
        value[random.randrange(len(value))] ^= 1 << random.randrange(8)
    return bytes(value)


def _random_bytes(_event: Event, _name: str, random: Random) -> bytes:
    return random.randbytes(random.randrange(1, 200))


def _renamed(event: Event, name: str, random: Random) -> bytes:
    return _encode({random.choice((key.upper(), f"{key} ", "")) if key == name else key: event[key] for key in event})


def _other_json(event: Event, _name: str, random: Random) -> bytes:
    return _encode(random.choice([*ODD, [event], {"value": event}, list(event.values())]))


def _deep(_event: Event, _name: str, random: Random) -> bytes:
    return random.choice(DEEP)


def _nothing(_event: Event, _name: str, random: Random) -> bytes | None:
    return random.choice((None, b"", b" ", b"null", b"{}", b"\xef\xbb\xbf{}"))


def _encode(value: object) -> bytes:
    return json.dumps(value).encode()


BREAKS: list[Break] = [
    *(_odd_value, _two_odd_values, _number, _text, _missing, _raw_value, _twice, _cut, _flipped_bits, _random_bytes),
    *(_renamed, _other_json, _deep, _nothing),
]
