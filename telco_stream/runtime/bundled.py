"""The sample and the default model: beside the package in a checkout, inside it in a wheel."""

from pathlib import Path

_PACKAGE = Path(__file__).parent.parent
#: Their folder in a wheel, set in `pyproject.toml`.
_INSTALLED = _PACKAGE / "_bundled"


def bundled(name: str) -> Path:
    """Return the path of `models/churn` or `data/sample_customers.csv` on this machine."""
    return (_INSTALLED if _INSTALLED.is_dir() else _PACKAGE.parent) / name
