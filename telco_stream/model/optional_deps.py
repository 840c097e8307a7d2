"""Libraries that only training and the uncompiled model need, and that an installation may omit."""

from collections.abc import Iterator
from contextlib import contextmanager

from telco_stream.errors import TelcoStreamError

_OPTIONAL = frozenset({"joblib", "pandas", "sklearn", "skl2onnx"})


@contextmanager
def requiring_libraries(purpose: str, error_class: type[TelcoStreamError], alternative: str) -> Iterator[None]:
    """Raise `error_class` if an import in the block fails because an optional library is not installed."""
    try:
        yield
    except ModuleNotFoundError as error:
        name = (error.name or "").partition(".")[0]
        if name not in _OPTIONAL:
            raise
        missing = "isn't installed here (the image telco-stream:consume omits it)"
        raise error_class(f"{purpose} needs {name}, which {missing}: {alternative}") from error
