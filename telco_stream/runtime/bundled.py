"""The sample and the default model: beside the package in a checkout, inside it when installed from a wheel."""

from pathlib import Path

_PACKAGE = Path(__file__).parent.parent
#: Where the wheel carries them; `pyproject.toml` puts them there.
_INSTALLED = _PACKAGE / "_shipped"


def bundled(name: str) -> Path:
    """Where `models/churn` or `data/sample_customers.csv` stands on this machine."""
    return (_INSTALLED if _INSTALLED.is_dir() else _PACKAGE.parent) / name
