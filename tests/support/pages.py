"""The commands and links of a page of documentation."""

import re
from collections.abc import Iterator
from pathlib import Path

_BLOCK = re.compile(r"^```(bash|console)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\(([^)#\s]+)")
_CHOICE = re.compile(r"telco-stream (\w+) (\w+(?:\\?\|\w+)+)")


def command_lines(page: Path) -> list[str]:
    """Each command of the page's bash and console blocks, in their order; of a console block, what follows a `$`."""
    return [line for kind, text in _BLOCK.findall(page.read_text()) for line in _lines(kind, text)]


def broken_links(page: Path) -> list[str]:
    """Links to files that aren't there."""
    targets = [link for link in _LINK.findall(page.read_text()) if "://" not in link]
    return [target for target in targets if not (page.parent / target).exists()]


def named_commands(page: Path) -> str:
    """The page's text, with `telco-stream a b|c` also spelt out as `telco-stream a b` and `telco-stream a c`."""
    text = page.read_text()
    spelt = [f"telco-stream {group} {one}" for group, some in _CHOICE.findall(text) for one in re.split(r"\\?\|", some)]
    return "\n".join([text, *spelt])


def _lines(kind: str, text: str) -> Iterator[str]:
    for line in text.replace("\\\n", " ").splitlines():
        if kind == "console" and not line.startswith("$ "):
            continue  # what a command has answered
        command = line.removeprefix("$ ").strip()
        if command and not command.startswith("#"):
            yield " ".join(command.split())
