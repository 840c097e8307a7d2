"""Faults in the content of a `contract.json`, as sentences for its author with lines and columns."""

import json
import re
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any, TypeAlias

import msgspec

#: Keys and indexes that lead to a value, such as `("features", 3, "kind")`.
Path: TypeAlias = tuple[str | int, ...]

_check_syntax = msgspec.json.Decoder(msgspec.Raw).decode
#: `JSON is malformed: expected ',' or '}' (byte 14)`
_MALFORMED = re.compile(r"JSON is malformed: (.*) \(byte (\d+)\)")
_HALF_PAIR = re.compile(rb"(?<!\\)\\u[dD][89abAB]..(?!\\u[dD][c-fC-F])")
#: Explanations of an unexpected character by what is at its position.
_UNEXPECTED = {
    "NaN": "JSON has no NaN",
    "Infinity": "JSON has no Infinity",
    "-Infinity": "JSON has no Infinity",
    "'": "JSON needs double quotes",
    "“": "JSON needs straight double quotes",
    "//": "JSON has no comments",
    "/*": "JSON has no comments",
    "#": "JSON has no comments",
    "True": "JSON writes true",
    "False": "JSON writes false",
    "None": "JSON writes null",
}
_BYTE_ORDER_MARKS = {b"\xef\xbb\xbf": "UTF-8 with a byte order mark", b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16"}
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\],:]|[^\s{}\[\],:"]+')


@dataclass(frozen=True, slots=True)
class Fault:
    """A sentence about the value at a path."""

    path: Path
    text: str


def format_path(path: Iterable[str | int]) -> str:
    """Return `features[3].kind` for a path."""
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
    return text.removeprefix(".")


def syntax_fault(content: bytes) -> str | None:
    """Return a sentence if the content is not JSON in UTF-8."""
    for mark, encoding in _BYTE_ORDER_MARKS.items():
        if content.startswith(mark):
            return f"it is in {encoding}: save it in UTF-8 without a byte order mark"
    try:
        content.decode()
    except UnicodeDecodeError as error:
        return f"{_position(content, error.start)}: not UTF-8; save the file in UTF-8"
    if not content.strip():
        return "it is empty"
    try:
        _check_syntax(content)
    except RecursionError:
        return "it is nested too deeply"
    except msgspec.DecodeError as error:
        return _describe_syntax(content, str(error))
    return None


def parse_json(content: bytes) -> tuple[Any, list[Fault]]:
    """Parse valid JSON, numbers of any size, and return faults for keys that an object has twice."""
    repeated: list[Fault] = []

    def make_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        fields = dict(pairs)
        if len(fields) < len(pairs):
            keys = [key for key, _ in pairs]
            key = next(key for key, times in Counter(keys).items() if times > 1)
            repeated.append(Fault((), f"an object has the key `{key}` twice; its last value would count"))
        return fields

    # A float of that many digits is infinite, which is beyond every limit.
    document = json.loads(content, object_pairs_hook=make_object, parse_int=lambda text: int(text[:400]))
    return document, repeated


def find_lines(text: str, paths: Collection[Path]) -> dict[Path, int]:
    """Return the line of each value in a valid JSON text."""
    lines: dict[Path, int] = {}
    path: list[Any] = []
    for token in _TOKEN.finditer(text):
        if len(lines) == len(paths):
            break
        word = token[0]
        if word == ",":
            path[-1] = path[-1] + 1 if isinstance(path[-1], int) else None
        elif word in {"}", "]"}:
            path.pop()
        elif path and path[-1] is None:
            path[-1] = json.loads(word)
        elif word != ":":
            if (current := tuple(path)) in paths:
                lines[current] = text.count("\n", 0, token.start()) + 1
            if word in {"{", "["}:
                path.append(None if word == "{" else 0)
    return lines


def _describe_syntax(content: bytes, message: str) -> str:
    if half_pair := _HALF_PAIR.search(content):
        return f"{_position(content, half_pair.start())}: half of a surrogate pair"
    if not (malformed := _MALFORMED.fullmatch(message)):
        return f"{_position(content, len(content))}: the file ends too early; a bracket or a quote is not closed"
    reason, offset = malformed[1], int(malformed[2])
    rest = content[offset : offset + 16].decode(errors="ignore")
    hint = next((hint for start, hint in _UNEXPECTED.items() if rest.startswith(start)), f"not JSON: {reason}")
    return f"{_position(content, offset)}: {hint}"


def _position(content: bytes, offset: int) -> str:
    before = content[:offset].decode(errors="replace")
    line, start = before.count("\n") + 1, before.rfind("\n") + 1
    return f"line {line}, column {len(before) - start + 1}"
