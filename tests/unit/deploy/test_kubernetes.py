"""The Kubernetes manifests: complete, consistent with each other, and with commands and settings that exist."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.unit.deploy.deployed import DEPLOY, assert_command_exists, documents, loaded
from worker.tasks.lanes import Lane

FOLDER = DEPLOY / "kubernetes"
OBJECTS = [one for path in sorted(FOLDER.glob("*.yaml")) for one in documents(path)]
(SECRET,) = (one for one in OBJECTS if one["kind"] == "Secret")
(CONFIGMAP,) = (one for one in OBJECTS if one["kind"] == "ConfigMap")
DEPLOYMENTS = {one["metadata"]["name"]: one for one in OBJECTS if one["kind"] == "Deployment"}

each = pytest.mark.parametrize("name", sorted(DEPLOYMENTS))


def container(name: str) -> dict[str, Any]:
    (only,) = DEPLOYMENTS[name]["spec"]["template"]["spec"]["containers"]
    return dict(only)


def test_every_role_is_deployed() -> None:
    lanes = {f"overread-worker-{lane.value}" for lane in Lane}
    assert set(DEPLOYMENTS) == {"overread-listener", "overread-sweeper", *lanes}


def test_kustomization_names_every_file_but_the_example_of_the_secret() -> None:
    (kustomization,) = documents(FOLDER / "kustomization.yaml")
    files = {path.name for path in FOLDER.glob("*.yaml")} - {"kustomization.yaml", "secret.example.yaml"}
    assert set(kustomization["resources"]) == files


@each
def test_its_command_exists(name: str) -> None:
    assert_command_exists(container(name)["args"])
    for probe in ("livenessProbe", "readinessProbe"):
        command = container(name).get(probe, {}).get("exec", {}).get("command", [])
        if command[:1] == ["overread"]:
            assert_command_exists(command[1:])


@each
def test_its_environment_is_a_valid_configuration(name: str, tmp_path: Path) -> None:
    environment = {one["name"]: one["value"] for one in container(name)["env"]} | SECRET["stringData"]
    config = tmp_path / "overread.toml"
    config.write_text(CONFIGMAP["data"]["overread.toml"], encoding="utf-8")
    settings = loaded(environment, config=config)
    mounts = [one["mountPath"] for one in container(name)["volumeMounts"]]
    assert any(str(settings.node.data).startswith(f"{mount}/") for mount in mounts)
    assert str(Path(environment["OVERREAD_CONFIG"]).parent) in mounts
    assert settings.destinations


@each
def test_no_part_of_it_reports_to_a_maker(name: str) -> None:
    assert {"name": "ORT_DISABLE_TELEMETRY", "value": "1"} in container(name)["env"]


@each
def test_it_is_confined(name: str) -> None:
    pod = DEPLOYMENTS[name]["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] == 10001
    assert pod["automountServiceAccountToken"] is False
    own = container(name)["securityContext"]
    assert own["readOnlyRootFilesystem"] is True
    assert own["allowPrivilegeEscalation"] is False
    assert own["capabilities"] == {"drop": ["ALL"]}
    assert container(name)["resources"]["limits"]["memory"]


@each
def test_names_that_refer_to_each_other_agree(name: str) -> None:
    pod = DEPLOYMENTS[name]["spec"]["template"]
    labels = pod["metadata"]["labels"].items()
    assert DEPLOYMENTS[name]["spec"]["selector"]["matchLabels"].items() <= labels
    assert {one["name"] for one in container(name)["volumeMounts"]} == {one["name"] for one in pod["spec"]["volumes"]}
    (reference,) = container(name)["envFrom"]
    assert reference["secretRef"]["name"] == SECRET["metadata"]["name"]
    claims = [one["metadata"]["name"] for one in OBJECTS if one["kind"] == "PersistentVolumeClaim"]
    for volume in pod["spec"]["volumes"]:
        if "configMap" in volume:
            assert volume["configMap"]["name"] == CONFIGMAP["metadata"]["name"]
        if "persistentVolumeClaim" in volume:
            assert volume["persistentVolumeClaim"]["claimName"] in claims


@pytest.mark.parametrize("selector", list(range(3)))
def test_services_and_policies_select_pods_that_exist(selector: int) -> None:
    labels = [d["spec"]["template"]["metadata"]["labels"] for d in DEPLOYMENTS.values()]
    selectors = list(_selectors())
    assert len(selectors) == 3
    assert any(selectors[selector].items() <= one.items() for one in labels)


def test_the_listener_is_not_open_to_the_world() -> None:
    (service,) = (one for one in OBJECTS if one["kind"] == "Service")
    assert "0.0.0.0/0" not in service["spec"]["loadBalancerSourceRanges"]
    assert service["spec"]["loadBalancerSourceRanges"]


def test_no_password_is_written_down() -> None:
    for name, value in SECRET["stringData"].items():
        assert ":REPLACE@" in value, name


def _selectors() -> Iterator[dict[str, str]]:
    for one in OBJECTS:
        if one["kind"] == "Service":
            yield one["spec"]["selector"]
        if one["kind"] == "NetworkPolicy" and one["spec"]["podSelector"]:
            yield one["spec"]["podSelector"]["matchLabels"]
