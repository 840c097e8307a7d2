"""The generated parts of a page, between `<!-- begin NAME -->` and `<!-- end -->`."""

import re
from collections.abc import Callable

from docs.generate.commands import command, common_options, shared_options
from docs.generate.contract_schema import contract_keys
from docs.generate.settings import refused_properties, settings

#: Generators of parts by the first word of the name; they get the rest of the name.
GENERATORS: dict[str, Callable[[str], str]] = {
    "settings": settings,
    "refused": refused_properties,
    "common": common_options,
    "shared": shared_options,
    "command": command,
    "contract-keys": contract_keys,
}

_PART = re.compile(r"^(<!-- begin ([^>]+) -->\n).*?^(<!-- end -->)$", re.MULTILINE | re.DOTALL)


def render_page(text: str) -> str:
    """Return the page with its parts generated again; raises KeyError for a part without a generator."""
    return _PART.sub(lambda part: f"{part[1]}\n{_generate(part[2])}\n\n{part[3]}", text)


def part_names(text: str) -> list[str]:
    """Return the names of the generated parts of a page."""
    return [name for _, name, _ in _PART.findall(text)]


def _generate(name: str) -> str:
    first, _, rest = name.partition(" ")
    return GENERATORS[first](rest)
