"""The commands and links of a page of documentation."""

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

_BLOCK = re.compile(r"^```(bash|console)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_CHOICE = re.compile(r"telco-stream (\w+) (\w+(?:\\?\|\w+)+)")
_HEADING = re.compile(r"^#{1,6} (.+)$", re.MULTILINE)
#: What is typed: inside of a block, or between two ticks of one line.
_TYPED = re.compile(r"^```\w*\n(.*?)^```$|`([^`\n]+)`", re.MULTILINE | re.DOTALL)
#: A command, up to where the shell takes over.
_MENTION = re.compile(r"telco-stream ([a-z][^;&>#)\n]*?)(?= \|\|? |[;&>#)\n]|$)")


def command_lines(page: Path) -> list[str]:
    """Each command of the page's bash and console blocks, in their order; of a console block, what follows a `$`."""
    return [line for kind, text in _BLOCK.findall(page.read_text()) for line in _lines(kind, text)]


def broken_links(page: Path) -> list[str]:
    """Links to files that aren't there, and to headings that the page they lead to doesn't have."""
    links = _LINK.findall(_FENCED.sub("", page.read_text()))
    return [link for link in links if "://" not in link and not _leads_somewhere(page, link)]


def anchors(page: Path) -> set[str]:
    """What a link to one of the page's headings can end with, by the rules of GitHub."""
    seen: Counter[str] = Counter()
    names = set()
    for heading in _HEADING.findall(_FENCED.sub("", page.read_text())):
        name = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        names.add(f"{name}-{seen[name]}" if seen[name] else name)
        seen[name] += 1
    return names


def mentions(page: Path) -> list[list[str]]:
    """Each `telco-stream` that the page has people type, as its words; `a|b` is a word."""
    typed = "\n".join(block or inline for block, inline in _TYPED.findall(page.read_text()))
    joined = typed.replace("\\\n", " ").replace("\\|", "|")
    return [found.split() for found in _MENTION.findall(joined)]


def named_commands(page: Path) -> str:
    """The page's text, with `telco-stream a b|c` also spelt out as `telco-stream a b` and `telco-stream a c`."""
    text = page.read_text()
    spelt = [f"telco-stream {group} {one}" for group, some in _CHOICE.findall(text) for one in re.split(r"\\?\|", some)]
    return "\n".join([text, *spelt])


def _leads_somewhere(page: Path, link: str) -> bool:
    name, _, anchor = link.partition("#")
    target = page.parent / name if name else page
    return target.exists() and (not anchor or anchor in anchors(target))


def _lines(kind: str, text: str) -> Iterator[str]:
    for line in text.replace("\\\n", " ").splitlines():
        if kind == "console" and not line.startswith("$ "):
            continue  # what a command has answered
        command = line.removeprefix("$ ").strip()
        if command and not command.startswith("#"):
            yield " ".join(command.split())
