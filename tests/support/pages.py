"""The commands and links in a page of the documentation."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

_BLOCK = re.compile(r"^```(bash|console)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_CHOICE = re.compile(r"telco-stream (\w+) (\w+(?:\\?\|\w+)+)")
_HEADING = re.compile(r"^#{1,6} (.+)$", re.MULTILINE)
#: Code: a block, or the text between two backticks.
_CODE = re.compile(r"^```\w*\n(.*?)^```$|`([^`\n]+)`", re.MULTILINE | re.DOTALL)
#: A command up to a shell operator.
_MENTION = re.compile(r"telco-stream ([a-z][^;&>#)\n]*?)(?= \|\|? |[;&>#)\n]|$)")


def command_lines(page: Path) -> list[str]:
    """Return the commands of the page's bash and console blocks; those of a console block follow a `$`."""
    return [line for kind, text in _BLOCK.findall(page.read_text()) for line in _lines(kind, text)]


def broken_links(page: Path) -> list[str]:
    """Return the links to files or headings that do not exist."""
    links = _LINK.findall(_FENCED.sub("", page.read_text()))
    return [link for link in links if "://" not in link and not _has_target(page, link)]


def anchors(page: Path) -> set[str]:
    """Return the anchors of the page's headings by the rules of GitHub."""
    seen: Counter[str] = Counter()
    names = set()
    for heading in _HEADING.findall(_FENCED.sub("", page.read_text())):
        name = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        names.add(f"{name}-{seen[name]}" if seen[name] else name)
        seen[name] += 1
    return names


def mentions(page: Path) -> list[list[str]]:
    """Return the arguments of each `telco-stream` command in the page's code; `a|b` is one argument."""
    code = "\n".join(block or inline for block, inline in _CODE.findall(page.read_text()))
    joined = code.replace("\\\n", " ").replace("\\|", "|")
    return [command.split() for command in _MENTION.findall(joined)]


def named_commands(page: Path) -> str:
    """Return the page's text, and for each `telco-stream a b|c` also `telco-stream a b` and `telco-stream a c`."""
    text = page.read_text()
    commands = [
        f"telco-stream {group} {name}" for group, names in _CHOICE.findall(text) for name in re.split(r"\\?\|", names)
    ]
    return "\n".join([text, *commands])


def replace_words(text: str, replacements: Mapping[str, str]) -> str:
    """Replace each key where it is a whole word: `telco.raw` is not part of `telco.raw.customers` or `telco.raw-2`."""
    words = "|".join(map(re.escape, sorted(replacements, key=len, reverse=True)))
    return re.sub(rf"(?<![\w.-])(?:{words})(?![\w-]|\.\w)", lambda match: replacements[match[0]], text)


def _has_target(page: Path, link: str) -> bool:
    name, _, anchor = link.partition("#")
    target = page.parent / name if name else page
    return target.exists() and (not anchor or anchor in anchors(target))


def _lines(kind: str, text: str) -> Iterator[str]:
    for line in text.replace("\\\n", " ").splitlines():
        if kind == "console" and not line.startswith("$ "):
            continue  # output of a command
        command = line.removeprefix("$ ").strip()
        if command and not command.startswith("#"):
            yield " ".join(command.split())
