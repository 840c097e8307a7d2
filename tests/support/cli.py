"""Run `telco-stream` in a separate process."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from tests.support.waiting import wait_until

#: The checkout.
ROOT = Path(__file__).resolve().parents[2]


def run_cli(
    *args: str, env: Mapping[str, str] | None = None, cwd: Path | None = None, timeout: float = 120
) -> subprocess.CompletedProcess[str]:
    """Run `telco-stream` to its end and return exit code, stdout and stderr; `env` extends the current environment."""
    return subprocess.run(
        _command(args), env=_environment(env), cwd=cwd, timeout=timeout, capture_output=True, text=True, check=False
    )


class RunningCli:
    """A background `telco-stream` process with its output in files; `module` runs another Python module."""

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
        """Return what it has written to stdout."""
        return self._out.read_text()

    def stderr(self) -> str:
        """Return what it has written to stderr."""
        return self._err.read_text()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal."""
        self.process.send_signal(number)

    def wait(self, deadline: float = 30) -> int:
        """Wait for the process to end and return its exit code."""
        wait_until(lambda: self.process.poll() is not None, deadline, f"the end of {self.process.args!r}")
        return self.process.wait()

    def wait_for_stderr(self, text: str, deadline: float = 30) -> None:
        """Wait until `text` appears on stderr; fail if the process ends before."""
        end = time.monotonic() + deadline
        while text not in self.stderr() and self.process.poll() is None and time.monotonic() < end:
            time.sleep(0.05)
        code = self.process.poll()
        state = f"still runs after {deadline} s" if code is None else f"exited with {code}"
        assert text in self.stderr(), f"{text!r} is not on stderr of a process that {state}: {self.stderr()}"

    def end(self) -> None:
        """Kill the process if it is still running."""
        self.process.kill()
        self.process.wait()


def _command(args: tuple[str, ...], module: str = "telco_stream") -> list[str]:
    return [sys.executable, "-m", module, *args]


def _environment(extra: Mapping[str, str] | None) -> dict[str, str]:
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    return {**os.environ, "PYTHONPATH": path, **(extra or {})}
