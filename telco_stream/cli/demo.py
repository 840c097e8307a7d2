"""`telco-stream demo`."""

import logging
import shlex
import shutil
import sys
from pathlib import Path

from telco_stream.cli import options
from telco_stream.cli.session import Session

#: Lines that can be pasted into a shell, between comments; {} is the program.
_PRODUCE = "{} produce --mode batch"
_NEXT = f"""
The same on your own Kafka, where consume commits exactly once. For example:
  docker run -d --name telco-kafka -p 127.0.0.1:9092:9092 apache/kafka:4.3.1
  {{}} topics init --timeout 60
  {_PRODUCE}
  {{}} consume --mode batch
  {{}} verify
  {{}} report --html report.html"""


def demo(
    engine: options.Engine = "auto",
    output: options.Output = "table",
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Run the whole pipeline on a broker inside this process. Needs no Docker, network or configuration."""
    session = Session(output, quiet=quiet, verbose=verbose)
    if not verbose:
        logging.getLogger("telco_stream").setLevel(logging.ERROR)
    stop = session.stop  # handle signals while the model is loaded
    screen, scorer = session.screen, session.scorer(engine)

    from telco_stream.contract.document import builtin_contract
    from telco_stream.sample.demo import run_demo

    if output == "json":
        screen.show(run_demo(scorer, stop=stop, say=screen.say, show=lambda _result: None))
    else:
        run_demo(scorer, stop=stop, say=screen.say, show=screen.show)
    steps = _NEXT
    if scorer.codec.contract != builtin_contract():
        steps = steps.replace(_PRODUCE, f"{{}} sample --out sample.csv\n  {_PRODUCE} --data-path sample.csv")
    for line in steps.replace("{}", program(Path(sys.argv[0]))).splitlines():
        screen.say(line)


def program(started: Path) -> str:
    """Return the command that starts the program of this file from this folder: its name, if it is on the path."""
    if started.name == "__main__.py":
        return f"{_name_of(Path(sys.executable))} -m telco_stream"
    return _name_of(started)


def _name_of(file: Path) -> str:
    path, on_path, here = _in_real_folder(file), shutil.which(file.name), Path.cwd()
    if on_path and _in_real_folder(Path(on_path)) == path:
        return file.name
    return shlex.quote(str(path.relative_to(here) if path.is_relative_to(here) else file))


def _in_real_folder(file: Path) -> Path:
    """Return the absolute path; a link to a file stays, because an environment's `python` is one."""
    return file.parent.resolve() / file.name
