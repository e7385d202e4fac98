"""docker-compose.yml, as far as it can be judged without an engine."""

from __future__ import annotations

import importlib.util
import ipaddress
import re
import shutil
import subprocess
import sys
from typing import Any

import pytest
import yaml

from tests.unit.deploy.deployed import DEPLOY, ROOT, SECRET, assert_command_exists, loaded, substituted
from worker.domain.errors import ConfigurationError
from worker.tasks.lanes import Lane
from worker.wiring import brokers

TEXT = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
COMPOSE: dict[str, Any] = yaml.safe_load(TEXT)
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if service["image"] == "overread:local"}
EXAMPLE = dict(
    line.split("=", 1)
    for line in (DEPLOY / "compose.env.example").read_text(encoding="utf-8").splitlines()
    if line and not line.startswith("#")
)
CONFIG = DEPLOY / "compose" / "overread.toml"

ours = pytest.mark.parametrize("name", sorted(OURS))
each = pytest.mark.parametrize("name", sorted(SERVICES))


def test_all_parts_are_there() -> None:
    lanes = {f"worker-{lane.value}" for lane in Lane}
    assert set(OURS) == {"listener", "sweeper", "flower", *lanes}
    assert set(SERVICES) - set(OURS) == {"redis", "postgres", "orthanc"}


@ours
def test_its_command_exists(name: str) -> None:
    assert "entrypoint" not in OURS[name]
    assert_command_exists(OURS[name]["command"])


@pytest.mark.parametrize("lane", list(Lane))
def test_each_lane_has_its_worker(lane: Lane) -> None:
    assert SERVICES[f"worker-{lane.value}"]["command"] == ["work", "--lane", lane.value]


@ours
def test_its_environment_is_a_valid_configuration(name: str) -> None:
    environment = OURS[name]["environment"]
    settings = loaded(environment, config=CONFIG if "OVERREAD_CONFIG" in environment else None)
    mounts = [volume.split(":")[1] for volume in OURS[name]["volumes"]]
    assert str(settings.node.data) in mounts, "the data folder is a volume"
    assert SECRET in settings.broker.url.get_secret_value()
    assert brokers.options(settings).is_redis  # refuses a broker without a password
    if name == "flower":
        assert settings.flower.password.get_secret_value() == SECRET
        assert "OVERREAD_DATABASE__URL" not in environment, "Flower needs no database"
    else:
        assert settings.database_url == f"postgresql+psycopg://overread:{SECRET}@postgres/overread"


@ours
def test_no_part_of_it_reports_to_a_maker(name: str) -> None:
    assert OURS[name]["environment"]["ORT_DISABLE_TELEMETRY"] == "1"


def test_the_configuration_file_is_where_the_environment_says() -> None:
    for service in OURS.values():
        if "OVERREAD_CONFIG" in service["environment"]:
            mounted = dict(reversed(v.split(":")[:2]) for v in service["volumes"])
            assert (ROOT / mounted[service["environment"]["OVERREAD_CONFIG"]]).samefile(CONFIG)


def test_results_go_back_to_the_pacs_that_sends_and_it_knows_overread() -> None:
    settings = loaded(OURS["worker-deliver"]["environment"], config=CONFIG)
    (destination,) = settings.destinations
    orthanc = yaml.safe_load((DEPLOY / "orthanc" / "orthanc.json").read_text(encoding="utf-8"))
    assert (destination.host, destination.port) == ("orthanc", orthanc["DicomPort"])
    assert destination.ae_title == orthanc["DicomAet"]
    peer = orthanc["DicomModalities"][orthanc["Overread"]["Modality"]]
    assert (peer["AET"], peer["Host"], peer["Port"]) == (settings.node.ae_title, "listener", settings.listener.port)


@each
def test_ports_are_published_on_loopback_only(name: str) -> None:
    for port in SERVICES[name].get("ports", []):
        address = port.rsplit(":", 2)[0]
        assert ipaddress.ip_address(address).is_loopback, f"{name} publishes {port}"
    assert SERVICES[name].get("network_mode") != "host"


@each
def test_it_is_confined(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["tmpfs"]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not service.get("privileged")
    limits = service["deploy"]["resources"]["limits"]
    assert {"cpus", "memory", "pids"} <= set(limits)
    assert service["restart"] == "unless-stopped"
    if name != "orthanc":  # its image knows no other user
        assert str(service["user"]).split(":")[0] not in {"", "0", "root"}
        assert service["healthcheck"]["test"]


def test_users_of_the_image_and_of_compose_are_the_same() -> None:
    dockerfile = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
    (user,) = re.findall(r"^USER (\S+)$", dockerfile, re.MULTILINE)
    assert {service["user"] for service in OURS.values()} == {user}


def test_passwords_come_from_the_env_file_and_stand_nowhere() -> None:
    wanted = set(re.findall(r"\$\{([A-Z_]+):\?", TEXT))
    assert wanted == set(EXAMPLE)
    assert all(value == "" for value in EXAMPLE.values()), "an example password would be used"
    # Every variable is required: without the env file, compose stops instead of starting without a password.
    assert re.findall(r"(?<!\$)\$\{(?![A-Z_]+:\?)", TEXT) == []
    for name, service in SERVICES.items():
        for variable, value in service.get("environment", {}).items():
            if re.search(r"PASSWORD|://[^/]*@", f"{variable}={value}") and not variable.endswith("_FILE"):
                assert substituted(str(value)) != str(value), f"{name}: {variable} is written down"


@each
def test_what_it_mounts_exists(name: str) -> None:
    named = set(COMPOSE["volumes"])
    for volume in SERVICES[name].get("volumes", []):
        source = volume.split(":")[0]
        if source.startswith("."):
            assert (ROOT / source).exists()
            assert volume.endswith(":ro"), f"{name} could change {source}"
        else:
            assert source in named


@each
def test_it_waits_for_services_that_have_a_health_check(name: str) -> None:
    for other, condition in SERVICES[name].get("depends_on", {}).items():
        assert condition == {"condition": "service_healthy"}
        assert "healthcheck" in SERVICES[other]


@ours
def test_its_health_check_asks_with_a_command_that_exists(name: str) -> None:
    kind, program, *arguments = OURS[name]["healthcheck"]["test"]
    assert kind == "CMD"
    if program == "overread":
        assert_command_exists(arguments)
    else:
        assert program == "python"
        flag, what = arguments[:2]
        assert importlib.util.find_spec(what) if flag == "-m" else compile(what, "health check", "exec")


def test_those_who_read_pixels_reach_nobody_outside() -> None:
    assert COMPOSE["networks"]["backend"] == {"internal": True}
    assert SERVICES["worker-analyse"]["networks"] == ["backend"]
    assert SERVICES["worker-route"]["networks"] == ["backend"]
    for name in ("worker-deliver", "sweeper"):  # they call the PACS
        assert SERVICES[name]["networks"] == ["backend", "dicom"]
    assert set(SERVICES["redis"]["networks"]) == {"backend"} == set(SERVICES["postgres"]["networks"])


@each
def test_images_are_pinned(name: str) -> None:
    image = SERVICES[name]["image"]
    tag = image.partition(":")[2]
    assert tag not in {"", "latest"}


def test_yamllint_finds_nothing() -> None:
    files = [ROOT / "docker-compose.yml", DEPLOY]
    _run(sys.executable, "-m", "yamllint", "--strict", "-c", ROOT / ".yamllint", *files)


def test_the_env_file_is_not_committed() -> None:
    assert "compose.env" in (DEPLOY / ".gitignore").read_text(encoding="utf-8").splitlines()


def test_shell_scripts_parse() -> None:
    shell = shutil.which("sh")
    assert shell
    for script in DEPLOY.rglob("*.sh"):
        _run(shell, "-n", script)


def _run(*command: object) -> None:
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_broker_on_another_machine_needs_a_password() -> None:
    open_to_all = {"OVERREAD_BROKER__URL": "redis://redis:6379/0"}
    with pytest.raises(ConfigurationError) as refused:
        brokers.options(loaded(open_to_all))
    assert refused.value.code == "broker-open"
