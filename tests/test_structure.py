"""The structure of the package, checked on its syntax trees: layers of imports, pure modules, typed functions."""

import ast
import graphlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.cli import ROOT

PACKAGE = ROOT / "telco_stream"

#: Every entry of the package with its layer, from the lowest up. An entry imports only from the layers below its own;
#: commands may also import each other, but not in a cycle.
LAYERS = [
    {"errors"},
    {"contract"},
    {"messages"},
    {"runtime"},
    {"settings"},
    {"csv"},
    {"model"},
    {"scoring"},
    {"kafka"},
    {"checks", "consume", "dlq", "monitoring", "produce", "quality", "registry", "report", "sample"},
    {"display"},
    {"cli"},
    {"__main__"},
]
COMMANDS = next(layer for layer in LAYERS if "consume" in layer)
RANKS = {entry: rank for rank, layer in enumerate(LAYERS) for entry in layer}
MAX_ENTRIES = 22
MAX_PROTOCOLS = 8

#: Pure modules: they handle whole batches without files, clocks, clients or terminals.
CORE = (
    *("contract", "csv.validation", "errors", "messages", "report.analytics", "report.html.charts", "report.trends"),
    *("registry.archive", "registry.records", "registry.roles"),
    *("runtime.humanize", "runtime.period", "runtime.sentences", "scoring", "checks.ledger", "checks.verdict"),
)
PURE_LIBRARIES = {
    *("abc", "array", "base64", "bisect", "codecs", "collections", "contextlib", "dataclasses", "datetime"),
    *(
        "decimal",
        "difflib",
        "enum",
        "functools",
        "hashlib",
        "heapq",
        "hmac",
        "io",
        "itertools",
        "json",
        "math",
        "operator",
        "pkgutil",
        "re",
        "statistics",
        "string",
    ),
    *("struct", "textwrap", "types", "typing", "unicodedata", "zipfile", "zlib"),
}
CLOCKS = {"now", "utcnow", "today", "utc_timestamp"}

#: The entries that may import each third-party library.
OWNERS: dict[str, tuple[str, ...]] = {
    "confluent_kafka": ("kafka",),
    "msgspec": ("contract", "messages", "model", "produce", "registry"),
    **dict.fromkeys(["pydantic", "pydantic_settings", "dotenv"], ("settings",)),
    **dict.fromkeys(["pandas", "joblib", "skl2onnx", "onnx", "onnxruntime"], ("model",)),
    **dict.fromkeys(["sklearn", "numpy"], ("model", "quality")),
    **dict.fromkeys(["catboost", "lightgbm", "skops", "threadpoolctl", "xgboost"], ("model",)),
    "rich": ("display",),
    **dict.fromkeys(["typer", "click"], ("cli",)),
    "prometheus_client": ("monitoring",),
    **dict.fromkeys(["jinja2", "markupsafe"], ("report",)),
}
BROAD = {"Exception", "BaseException"}


def test_package_follows_the_rules() -> None:
    broken_rules = [
        f"{path.relative_to(ROOT)}: {fault}" for path in _files() for fault in faults(_module(path), path.read_text())
    ]
    assert broken_rules == []


def test_package_has_few_entries_each_with_a_layer() -> None:
    entries = {path.name.removesuffix(".py") for path in PACKAGE.iterdir() if path.name != "__pycache__"}
    named = set(RANKS) | {"__init__"}
    assert entries - {"_bundled"} == named
    assert len(entries) <= MAX_ENTRIES


def test_commands_do_not_import_each_other_in_a_cycle() -> None:
    graph: dict[str, set[str]] = {}
    for path in _files():
        entry = _entry(_module(path))
        graph.setdefault(entry, set()).update(_entries(ast.parse(path.read_text())) - {entry})
    assert set(graph) <= set(graphlib.TopologicalSorter(graph).static_order())


def test_package_has_few_protocols() -> None:
    protocols = [
        f"{_module(path)}.{node.name}"
        for path in _files()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ClassDef)
        and {"Protocol", "ABC"} & {ast.unparse(base).split("[")[0] for base in node.bases}
    ]
    assert len(protocols) <= MAX_PROTOCOLS, protocols


def test_package_has_one_broad_except_at_most() -> None:
    """It runs an imported model that may raise anything."""
    broad = [f"{_module(path)}:{line}" for path in _files() for line in _broad_excepts(ast.parse(path.read_text()))]
    assert all(line.startswith("model.scorer:") for line in broad), broad
    assert len(broad) <= 1, broad


@pytest.mark.parametrize(
    ("module", "source", "fault"),
    [
        ("contract.a", "from telco_stream.kafka.sink import Sink", "contract imports kafka, which is not below it"),
        ("contract.a", "from telco_stream import scoring", "contract imports scoring, which is not below it"),
        ("scoring", "import telco_stream.report.trends", "scoring imports report, which is not below it"),
        ("kafka.a", "def f() -> None:\n    from telco_stream import produce", "kafka imports produce, which is not"),
        ("produce.a", "from telco_stream.display import show", "produce imports display, which is not below it"),
        ("produce.a", "from . import report", "produce imports relatively"),
        ("produce.a", "from rich.console import Console", "rich belongs to display, not produce"),
        ("model.a", "import requests", "requests belongs to no entry, not model"),
        ("unknown.a", "import math", "unknown has no layer"),
        ("scoring", "from time import monotonic", "scoring is core and imports time"),
        ("report.analytics", "import pathlib, os.path", "report.analytics is core and imports os"),
        ("contract.a", "stamp = datetime.now(UTC)", "contract.a is core and reads the clock"),
        ("messages.a", "text = open('x').read()", "messages.a is core and calls open"),
        ("report.a", "print('x')", "report.a prints"),
        ("report.a", "def f(a: int, *b, c=1) -> None: ...", "report.a leaves b, c of f without a type"),
        ("report.a", "def f(self): ...", "report.a leaves return of f without a type"),
    ],
)
def test_faults_finds_a_broken_rule(module: str, source: str, fault: str) -> None:
    assert any(line.startswith(fault) for line in faults(module, source)), faults(module, source)


def test_faults_is_empty_when_the_rules_are_kept() -> None:
    source = "import math\nimport telco_stream.errors\nfrom telco_stream import __version__, errors\nimport msgspec\n"
    assert faults("contract.a", source + "class A:\n    def f(self, *, a: int) -> int: ...\n") == []
    assert faults("sample.demo", "from telco_stream import produce, kafka\nimport time\n") == []


@pytest.mark.parametrize("clause", ["except:", "except Exception:", "except (ValueError, BaseException) as error:"])
def test_broad_excepts_finds_a_clause(clause: str) -> None:
    assert list(_broad_excepts(ast.parse(f"try:\n    pass\n{clause}\n    pass"))) == [3]


def faults(module: str, source: str) -> list[str]:
    """Return a line for each rule that the source of this module (dotted, below the package) breaks."""
    tree = ast.parse(source)
    return [*_import_faults(_entry(module), tree), *_core_faults(module, tree), *_function_faults(module, tree)]


def _import_faults(entry: str, tree: ast.Module) -> Iterator[str]:
    if entry not in RANKS:
        yield f"{entry} has no layer"
        return
    if any(isinstance(node, ast.ImportFrom) and node.level for node in ast.walk(tree)):
        yield f"{entry} imports relatively"
    for other in _entries(tree) - {entry}:
        if not (RANKS.get(other, len(LAYERS)) < RANKS[entry] or {entry, other} <= COMMANDS):
            yield f"{entry} imports {other}, which is not below it"
    for library in _libraries(tree) - sys.stdlib_module_names - {"telco_stream"}:
        owners = OWNERS.get(library, ("no entry",))
        if entry not in owners:
            yield f"{library} belongs to {', '.join(owners)}, not {entry}"


def _core_faults(module: str, tree: ast.Module) -> Iterator[str]:
    if not f"{module}.".startswith(tuple(f"{core}." for core in CORE)):
        return
    for library in (_libraries(tree) & sys.stdlib_module_names) - PURE_LIBRARIES:
        yield f"{module} is core and imports {library}"
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in CLOCKS:
            yield f"{module} is core and reads the clock"
        if isinstance(node, ast.Name) and node.id in {"open", "input"}:
            yield f"{module} is core and calls {node.id}"


def _function_faults(module: str, tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and node.id == "print":
            yield f"{module} prints"
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and (bare := ", ".join(_untyped(node))):
            yield f"{module} leaves {bare} of {node.name} without a type"


def _untyped(function: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[str]:
    arguments = function.args
    listed = [
        *(*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs),
        *filter(None, [arguments.vararg, arguments.kwarg]),
    ]
    yield from sorted(arg.arg for arg in listed if arg.annotation is None and arg.arg not in {"self", "cls"})
    if function.returns is None:
        yield "return"


def _broad_excepts(tree: ast.Module) -> Iterator[int]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ExceptHandler):
            names = {name.id for name in ast.walk(node.type) if isinstance(name, ast.Name)} if node.type else BROAD
            if names & BROAD:
                yield node.lineno


def _imports(tree: ast.Module) -> Iterator[str]:
    """Yield dotted names; `from a import b` counts as `a.b`, because b may be a module."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield from (f"{node.module}.{name.name}" for name in node.names)


def _libraries(tree: ast.Module) -> set[str]:
    return {name.partition(".")[0] for name in _imports(tree)}


def _entries(tree: ast.Module) -> set[str]:
    """Return the package's entries that are imported; its version is not one."""
    inside = {name.split(".")[1] for name in _imports(tree) if name.startswith("telco_stream.")}
    return inside - {"__version__"}


def _module(path: Path) -> str:
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts)


def _entry(module: str) -> str:
    return module.partition(".")[0]


def _files() -> list[Path]:
    return [path for path in sorted(PACKAGE.rglob("*.py")) if path != PACKAGE / "__init__.py"]
