"""The house rules that a reader relies on, read from the syntax trees: what may import what, and what stays pure."""

import ast
import graphlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.cli import ROOT

PACKAGE = ROOT / "telco_stream"

#: From the ground up: a room imports only from lower layers. What isn't named here is a command, named as it is typed.
LAYERS = [
    {"errors", "records", "redaction", "timestamps"},
    {"contracts", "period", "humanize"},
    {"batch", "analytics", "trends", "ledger"},
    {"settings", "stop", "clock", "atomic", "runtime"},
    {"csv", "checkpoint"},
    {"kafka", "model", "metrics"},
    {"COMMANDS"},
    {"display"},
    {"cli"},
    {"__main__"},
]
COMMANDS = LAYERS.index({"COMMANDS"})
RANKS = {room: rank for rank, rooms in enumerate(LAYERS) for room in rooms}

#: These see whole batches and touch nothing: no file, clock, client or terminal.
CORE = {"errors", "records", "timestamps", "contracts", "period", "humanize", "batch", "analytics", "trends", "ledger"}
#: Modules of other packages that follow the same rules.
CORE_MODULES = {"csv/validation.py", "report/html/charts.py"}
PURE = {
    *(
        "abc",
        "array",
        "base64",
        "bisect",
        "codecs",
        "collections",
        "contextlib",
        "dataclasses",
        "datetime",
        "decimal",
        "enum",
    ),
    *("functools", "hashlib", "heapq", "itertools", "json", "math", "operator", "re", "statistics", "string"),
    *("struct", "textwrap", "types", "typing"),
}
CLOCKS = {"now", "utcnow", "today"}

#: Each foreign library has one owner.
OWNERS = {
    "confluent_kafka": "kafka",
    "msgspec": "contracts",
    **dict.fromkeys(["pydantic", "pydantic_settings", "dotenv"], "settings"),
    **dict.fromkeys(["sklearn", "pandas", "numpy", "joblib", "skl2onnx", "onnx", "onnxruntime"], "model"),
    "rich": "display",
    **dict.fromkeys(["typer", "click"], "cli"),
    "prometheus_client": "metrics",
    **dict.fromkeys(["jinja2", "markupsafe"], "report"),
}
BROAD = {"Exception", "BaseException"}


def test_every_room_keeps_the_rules() -> None:
    found = [
        f"{path.relative_to(ROOT)}: {fault}" for path in _files() for fault in faults(_room(path), path.read_text())
    ]
    assert found == []


@pytest.mark.parametrize("module", sorted(CORE_MODULES))
def test_core_module_does_no_io_and_imports_core_only(module: str) -> None:
    tree = ast.parse((PACKAGE / module).read_text())
    assert list(_core_faults(module, tree)) == []
    assert _rooms(tree) <= CORE


def test_no_rooms_import_each_other_in_a_circle() -> None:
    """Commands may build on commands, but not on each other."""
    graph: dict[str, set[str]] = {}
    for path in _files():
        room = _room(path)
        graph.setdefault(room, set()).update(_rooms(ast.parse(path.read_text())) - {room})
    assert set(graph) <= set(graphlib.TopologicalSorter(graph).static_order())


def test_at_most_one_broad_except_stands_in_the_package() -> None:
    """Where a scoring call may fail on data, and nowhere else."""
    broad = [f"{_room(path)}:{line}" for path in _files() for line in _broad_excepts(ast.parse(path.read_text()))]
    assert len(broad) <= 1, broad
    assert all(place.startswith("model:") for place in broad)


@pytest.mark.parametrize(
    ("room", "source", "fault"),
    [
        ("contracts", "from telco_stream.kafka.sink import Sink", "contracts imports kafka, which isn't below it"),
        ("contracts", "from telco_stream import batch", "contracts imports batch, which isn't below it"),
        ("batch", "import telco_stream.analytics", "batch imports analytics, which isn't below it"),
        ("kafka", "def f() -> None:\n    from telco_stream import produce", "kafka imports produce, which isn't below"),
        ("produce", "from telco_stream.display import show", "produce imports display, which isn't below it"),
        ("produce", "from . import report", "produce imports relatively"),
        ("produce", "from confluent_kafka import Producer", "confluent_kafka belongs to kafka, not produce"),
        ("model", "import requests", "requests belongs to nobody, not model"),
        ("batch", "from time import monotonic", "batch is core and imports time"),
        ("analytics", "import pathlib, os.path", "analytics is core and imports os"),
        ("contracts", "stamp = datetime.now(UTC)", "contracts is core and reads the clock"),
        ("records", "text = open('x').read()", "records is core and calls open"),
        ("report", "print('x')", "report prints"),
        ("report", "def f(a: int, *b, c=1) -> None: ...", "report leaves b, c of f without a type"),
        ("report", "def f(self): ...", "report leaves return of f without a type"),
    ],
)
def test_a_broken_rule_is_found(room: str, source: str, fault: str) -> None:
    assert any(found.startswith(fault) for found in faults(room, source)), faults(room, source)


def test_what_the_rules_allow_is_no_fault() -> None:
    source = "import math\nimport telco_stream.errors\nfrom telco_stream import __version__, records\nimport msgspec\n"
    assert faults("contracts", source + "class A:\n    def f(self, *, a: int) -> int: ...\n") == []
    assert faults("demo", "from telco_stream import produce, kafka\nimport time\n") == []


@pytest.mark.parametrize("clause", ["except:", "except Exception:", "except (ValueError, BaseException) as error:"])
def test_a_broad_except_is_found(clause: str) -> None:
    assert list(_broad_excepts(ast.parse(f"try:\n    pass\n{clause}\n    pass"))) == [3]


def faults(room: str, source: str) -> list[str]:
    """What the source of a module in this room does against the rules, one line each."""
    tree = ast.parse(source)
    return [*_import_faults(room, tree), *_core_faults(room, tree), *_function_faults(room, tree)]


def _import_faults(room: str, tree: ast.Module) -> Iterator[str]:
    if any(isinstance(node, ast.ImportFrom) and node.level for node in ast.walk(tree)):
        yield f"{room} imports relatively"
    for other in _rooms(tree) - {room}:
        if not (_rank(other) < _rank(room) or _rank(other) == _rank(room) == COMMANDS):
            yield f"{room} imports {other}, which isn't below it"
    for library in _libraries(tree) - sys.stdlib_module_names - {"telco_stream"}:
        owner = OWNERS.get(library, "nobody")
        if owner != room:
            yield f"{library} belongs to {owner}, not {room}"


def _core_faults(room: str, tree: ast.Module) -> Iterator[str]:
    if room not in CORE | CORE_MODULES:
        return
    for library in (_libraries(tree) & sys.stdlib_module_names) - PURE:
        yield f"{room} is core and imports {library}"
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in CLOCKS:
            yield f"{room} is core and reads the clock"
        if isinstance(node, ast.Name) and node.id in {"open", "input"}:
            yield f"{room} is core and calls {node.id}"


def _function_faults(room: str, tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and node.id == "print":
            yield f"{room} prints"
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and (bare := ", ".join(_untyped(node))):
            yield f"{room} leaves {bare} of {node.name} without a type"


def _untyped(function: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[str]:
    own = function.args
    some = [*own.posonlyargs, *own.args, *own.kwonlyargs, *filter(None, [own.vararg, own.kwarg])]
    yield from sorted(one.arg for one in some if one.annotation is None and one.arg not in {"self", "cls"})
    if function.returns is None:
        yield "return"


def _broad_excepts(tree: ast.Module) -> Iterator[int]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ExceptHandler):
            names = {name.id for name in ast.walk(node.type) if isinstance(name, ast.Name)} if node.type else BROAD
            if names & BROAD:
                yield node.lineno


def _imports(tree: ast.Module) -> Iterator[str]:
    """Dotted names; `from a import b` counts as `a.b`, as b may be a module."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield from (f"{node.module}.{name.name}" for name in node.names)


def _libraries(tree: ast.Module) -> set[str]:
    return {name.partition(".")[0] for name in _imports(tree)}


def _rooms(tree: ast.Module) -> set[str]:
    """Rooms of the package that are imported; its version is no room."""
    inside = {name.split(".")[1] for name in _imports(tree) if name.startswith("telco_stream.")}
    return inside - {"__version__"}


def _rank(room: str) -> int:
    return RANKS.get(room, COMMANDS)


def _room(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def _files() -> list[Path]:
    return [path for path in sorted(PACKAGE.rglob("*.py")) if path != PACKAGE / "__init__.py"]
