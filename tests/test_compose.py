"""The Compose file, the Dockerfile and the CI workflow; `make compose-test` and `make image-test` run the first two."""

import importlib.util
import re
import shutil
import subprocess
import threading
import tomllib
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
import yaml

from tests.support.cli import ROOT
from tests.support.in_process import run_in_process

FILE = ROOT / "compose/compose.yaml"
COMPOSE: dict[str, Any] = yaml.safe_load(FILE.read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
#: Services that run Kafka.
KAFKA = ("kafka", "controller")
OURS = {name: service for name, service in SERVICES.items() if service["image"] == "telco-stream:consume"}
WORKFLOW: dict[str, Any] = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())
DOCKERFILE = (ROOT / "Dockerfile").read_text()


@pytest.mark.parametrize("service", SERVICES)
def test_compose_publishes_ports_on_localhost_only(service: str) -> None:
    assert all(port.startswith("127.0.0.1:") for port in SERVICES[service].get("ports", []))


@pytest.mark.parametrize("service", SERVICES)
def test_compose_limits_memory_and_privileges(service: str) -> None:
    settings = SERVICES[service]
    assert settings["cap_drop"] == ["ALL"]
    assert settings["security_opt"] == ["no-new-privileges:true"]
    assert settings["mem_limit"]
    assert settings["init"] is True
    assert not settings.get("privileged")


@pytest.mark.parametrize("service", sorted(set(SERVICES) - set(KAFKA)))
def test_compose_mounts_read_only_roots_except_kafkas(service: str) -> None:
    """Kafka's start script writes its settings next to its program."""
    assert SERVICES[service]["read_only"] is True


@pytest.mark.parametrize("service", SERVICES)
def test_compose_restarts_services(service: str) -> None:
    """Not those that end after their work: `make up` and `make batch` would wait for them forever."""
    assert SERVICES[service]["restart"] == ("no" if service in {"topics", "batch"} else "unless-stopped")


@pytest.mark.parametrize("service", SERVICES)
def test_compose_pins_third_party_images(service: str) -> None:
    image = SERVICES[service]["image"]
    assert service in OURS or re.search(r":v?\d+\.\d+\.\d+$", image), image


def test_compose_starts_only_the_pipeline_without_a_profile() -> None:
    assert {name for name, service in SERVICES.items() if not service.get("profiles")} == {
        *KAFKA,
        "topics",
        "producer",
        "consumer",
    }
    assert {profile for service in SERVICES.values() for profile in service.get("profiles", [])} == {
        "ui",
        "monitoring",
        "batch",
    }


@pytest.mark.parametrize("name", OURS)
def test_compose_uses_only_known_options(name: str) -> None:
    """The help of the command lists each option."""
    for arguments in _command_lines(OURS[name]):
        command = arguments[: 2 if arguments[0] == "topics" else 1]
        help_text = run_in_process(*command, "--help", env={"COLUMNS": "200"}).out
        assert [argument for argument in arguments if argument.startswith("--") and argument not in help_text] == []


def _command_lines(service: dict[str, Any]) -> list[list[str]]:
    """Return the arguments of the service's command, or of each command of its script."""
    if "entrypoint" not in service:
        return [service["command"]]
    lines = [line.split() for line in service["command"][0].splitlines()]
    assert {program for program, *_ in lines} == {"telco-stream"}
    return [arguments for _, *arguments in lines]


@pytest.mark.parametrize("name", OURS)
def test_compose_sets_only_known_settings(name: str) -> None:
    """A misspelt setting would be refused."""
    completed = run_in_process("config", "show", env=OURS[name]["environment"])
    assert completed.code == 0, completed.err


def test_compose_fixes_different_transactional_ids() -> None:
    ids = [OURS[name]["environment"]["TELCO_STREAM_CONSUMER__TRANSACTIONAL_ID"] for name in ("consumer", "batch")]
    assert len(set(ids)) == len(ids) == 2


@pytest.mark.parametrize("service", KAFKA)
def test_compose_mounts_the_volumes_that_kafkas_image_declares(service: str) -> None:
    """A volume that is not mounted becomes an anonymous one, which `make down` leaves behind."""
    kafka = SERVICES[service]
    mounted = [volume.partition(":")[2] for volume in kafka["volumes"]]
    assert {*mounted, *kafka["tmpfs"]} == {"/etc/kafka/secrets", "/mnt/shared/config", "/var/lib/kafka/data"}


def test_compose_runs_broker_and_controller_in_separate_processes() -> None:
    """A node that is both can lose the markers of a transaction when it is killed."""
    roles = [SERVICES[service]["environment"]["KAFKA_PROCESS_ROLES"] for service in KAFKA]
    assert roles == ["broker", "controller"]
    voter = f"{SERVICES['controller']['environment']['KAFKA_NODE_ID']}@controller:9093"
    assert {SERVICES[service]["environment"]["KAFKA_CONTROLLER_QUORUM_VOTERS"] for service in KAFKA} == {voter}


def test_compose_project_is_named_telco_stream() -> None:
    """In .env: Compose 1.29 refuses `name:`."""
    assert (ROOT / "compose/.env").read_text() == "COMPOSE_PROJECT_NAME=telco-stream\n"


def test_compose_file_is_valid_for_compose_1_29() -> None:
    assert set(COMPOSE) <= {"services", "volumes"} | {key for key in COMPOSE if key.startswith("x-")}
    for service in SERVICES.values():
        assert not isinstance(service.get("env_file"), dict | list)
        assert "start_interval" not in service.get("healthcheck", {})
        conditions = service.get("depends_on", {})
        assert isinstance(conditions, list) or all(set(condition) == {"condition"} for condition in conditions.values())


@pytest.mark.parametrize("command", [["docker", "compose"], ["docker-compose"]], ids=" ".join)
def test_compose_reads_the_file(command: list[str]) -> None:
    if (
        shutil.which(command[0]) is None
        or subprocess.run([*command, "version"], capture_output=True, check=False).returncode
    ):
        pytest.skip(f"{' '.join(command)} is not installed")
    profiles = [argument for name in ("ui", "monitoring", "batch") for argument in ("--profile", name)]
    completed = subprocess.run(
        [*command, "-f", str(FILE), *profiles, "config"], capture_output=True, text=True, check=False, timeout=60
    )
    assert completed.returncode == 0, completed.stderr
    assert set(yaml.safe_load(completed.stdout)["services"]) == set(SERVICES)


def test_consume_image_omits_training_dependencies() -> None:
    """The Dockerfile's pattern, applied to the dependencies in pyproject.toml."""
    (pattern,) = re.findall(r"re\.match\('(.*?)', need\)", DOCKERFILE)
    dependencies = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    omitted = {re.split(r"[^a-z0-9-]", name)[0] for name in dependencies if re.match(pattern, name)}
    assert omitted == {"joblib", "pandas", "scikit-learn", "skl2onnx", "threadpoolctl"}


@pytest.fixture
def healthcheck() -> Any:
    spec = importlib.util.spec_from_file_location("healthcheck", ROOT / "compose/image/healthcheck.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("command", "port"),
    [
        (b"telco-stream\0consume\0--metrics-port\x009464\0--quiet\0", "9464"),
        (b"/sbin/docker-init\0--\0telco-stream\0consume\0--metrics-port=9464\0", "9464"),
        (b"telco-stream\0consume\0--metrics-port\x000\0", None),
        (b"telco-stream\0report\0", None),
    ],
)
def test_health_check_finds_the_port_in_the_command_line(healthcheck: Any, command: bytes, port: str | None) -> None:
    assert healthcheck.metrics_port(command) == port


@pytest.fixture
def serve() -> Iterator[Callable[[int], str]]:
    """Return a function that serves /healthz with this status and returns the port."""
    servers = []

    def start(status: int) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(status if self.path == "/healthz" else 404)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Log nothing."""

        servers.append(HTTPServer(("127.0.0.1", 0), Handler))
        threading.Thread(target=servers[-1].serve_forever, daemon=True).start()
        return str(servers[-1].server_port)

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(("status", "alive"), [(200, True), (503, False), (404, False)])
def test_health_check_follows_the_healthz_status(
    healthcheck: Any, serve: Callable[[int], str], status: int, alive: bool
) -> None:
    assert healthcheck.is_alive(serve(status)) is alive


def test_health_check_fails_when_the_port_is_closed(healthcheck: Any) -> None:
    assert healthcheck.is_alive("1") is False


@pytest.mark.parametrize("job", WORKFLOW["jobs"])
def test_workflow_job_has_a_timeout_and_may_only_read(job: str) -> None:
    assert WORKFLOW["permissions"] == {"contents": "read"}
    assert WORKFLOW["concurrency"]["group"]
    assert WORKFLOW["jobs"][job]["timeout-minutes"] <= 60
    assert "permissions" not in WORKFLOW["jobs"][job]
    assert all(
        step.get("with", {}).get("persist-credentials", False) is False for step in WORKFLOW["jobs"][job]["steps"]
    )


def test_workflow_tests_every_python_and_dependency_range() -> None:
    matrix = WORKFLOW["jobs"]["test"]["strategy"]["matrix"]
    assert matrix["python"] == ["3.11", "3.12", "3.13", "3.14"]
    assert "newest" in matrix["dependencies"]
    assert "lowest" in {*matrix["dependencies"], *(job["dependencies"] for job in matrix["include"])}


def test_workflow_pins_actions_by_commit() -> None:
    workflow = (ROOT / ".github/workflows/ci.yml").read_text()
    actions = re.findall(r"uses: (.*)", workflow)
    assert actions
    assert all(re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", action) for action in actions)


def test_workflow_runs_the_targets_of_the_local_run() -> None:
    """Except the audit, which needs the network."""
    workflow = re.findall(r"run: make ([a-z-]+)", (ROOT / ".github/workflows/ci.yml").read_text())
    local = re.findall(r"^  .*\bmake --no-print-directory ([a-z-]+)", (ROOT / ".ci/run").read_text(), re.MULTILINE)
    assert set(workflow) == {*local, "audit"}


def test_image_serves_metrics_at_all_addresses() -> None:
    """Prometheus and probes connect from outside the container."""
    runtime = (ROOT / "Dockerfile").read_text().partition("AS runtime")[2].partition("\nFROM")[0]
    assert "ENV TELCO_STREAM_METRICS__HOST=*" in runtime.splitlines()
