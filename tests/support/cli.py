"""`telco-stream` as a process of its own."""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.support.waiting import wait_until

#: The checkout.
ROOT = Path(__file__).resolve().parents[2]


def run_cli(
    *args: str, env: Mapping[str, str] | None = None, cwd: Path | None = None, timeout: float = 120
) -> subprocess.CompletedProcess[str]:
    """A finished `telco-stream`: its exit code, stdout and stderr; `env` is added to this process's environment."""
    return subprocess.run(
        _command(args), env=_environment(env), cwd=cwd, timeout=timeout, capture_output=True, text=True, check=False
    )


class RunningCli:
    """A `telco-stream` that runs beside the test, its output kept in files; `module` names another program."""

    def __init__(
        self,
        args: tuple[str, ...],
        folder: Path,
        env: Mapping[str, str] | None,
        cwd: Path | None,
        module: str = "telco_stream",
    ) -> None:
        self._out, self._err = folder / "stdout", folder / "stderr"
        command = _command(args, module)
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self.process = subprocess.Popen(command, stdout=out, stderr=err, env=_environment(env), cwd=cwd)

    def stdout(self) -> str:
        """What it has written to stdout so far."""
        return self._out.read_text()

    def stderr(self) -> str:
        """What it has written to stderr so far."""
        return self._err.read_text()

    def signal(self, number: signal.Signals) -> None:
        """It has been sent this signal."""
        self.process.send_signal(number)

    def wait(self, deadline: float = 30) -> int:
        """Its exit code, once it ends by itself."""
        wait_until(lambda: self.process.poll() is not None, deadline, f"the end of {self.process.args!r}")
        return self.process.wait()

    def wait_for_stderr(self, text: str, deadline: float = 30) -> None:
        """It runs, and `text` stands on its stderr."""
        wait_until(lambda: text in self.stderr() or self.process.poll() is not None, deadline, f"{text!r} on stderr")
        assert text in self.stderr(), f"it ended with {self.process.returncode}: {self.stderr()}"

    def end(self) -> None:
        """It is gone, by SIGKILL if need be."""
        self.process.kill()
        self.process.wait()


def _command(args: tuple[str, ...], module: str = "telco_stream") -> list[str]:
    return [sys.executable, "-m", module, *args]


def _environment(extra: Mapping[str, str] | None) -> dict[str, str]:
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    return {**os.environ, "PYTHONPATH": path, **(extra or {})}
