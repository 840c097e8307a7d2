"""The generated parts of a page: what stands between `<!-- begin NAME -->` and `<!-- end -->`."""

import re
from collections.abc import Callable

from docs.generate.columns import columns
from docs.generate.commands import command, shared_options
from docs.generate.settings import refused_properties, settings

#: What makes a part, by the first word of its name; the rest of the name is handed to it.
MAKERS: dict[str, Callable[[str], str]] = {
    "settings": settings,
    "refused": refused_properties,
    "options": shared_options,
    "command": command,
    "columns": columns,
}

_PART = re.compile(r"^(<!-- begin ([^>]+) -->\n).*?^(<!-- end -->)$", re.MULTILINE | re.DOTALL)


def renewed(text: str) -> str:
    """The page with each of its generated parts made anew; raises KeyError for a part that nothing makes."""
    return _PART.sub(lambda part: f"{part[1]}\n{_make(part[2])}\n\n{part[3]}", text)


def parts(text: str) -> list[str]:
    """The names of the page's generated parts."""
    return [name for _, name, _ in _PART.findall(text)]


def _make(name: str) -> str:
    first, _, rest = name.partition(" ")
    return MAKERS[first](rest)
