"""What a person gets when something is wrong, and that nothing acknowledged is lost by it."""

from __future__ import annotations

import json
import shutil
import socket
from pathlib import Path
from typing import Any

import pytest

from tests import builders
from tests.chaos.toy_model import write_package
from tests.e2e.processes import Installation, a_process, command, until
from tests.ports import free_port
from worker.demo.pacs import DemoPacs

ROOT = Path(__file__).resolve().parents[2]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]


def flat(text: str) -> str:
    """Console output without the line breaks of tables."""
    return " ".join(text.split())


def with_a_small_model(folder: Path) -> dict[str, str]:
    """One model that costs nothing, where what it finds is not the matter."""
    write_package(folder / "models")
    return {"OVERREAD_MODELS__FOLDERS": json.dumps([str(folder / "models")]), "OVERREAD_MODELS__PACKAGED": "false"}


def send(installation: Installation, *paths: Path) -> dict[str, Any]:
    report: dict[str, Any] = json.loads(installation.send(*paths).stdout)
    return report


def test_a_file_that_is_not_dicom_is_named_and_stops_nothing(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("Dear colleague")
    done = command("run", str(tmp_path), "--output", str(tmp_path / "out"))
    assert done.returncode == 65
    assert "no-model-applies" in done.stderr
    assert "1 files left out" in flat(done.stderr)
    explained = command("explain", "--files", str(tmp_path))
    assert explained.returncode == 0
    assert "left out letter.txt" in explained.stdout


def test_a_study_without_images_ends_with_its_reason(tmp_path: Path) -> None:
    folder = tmp_path / "study"
    folder.mkdir()
    builders.write(builders.a_secondary_capture(), folder / "capture.dcm")
    with Installation(tmp_path, send_to=[], environ=with_a_small_model(tmp_path)) as installation:
        assert send(installation, folder)["outcomes"][0]["stored"]
        (job,) = until(
            lambda: [j for j in installation.jobs() if j["state"] == "no-model-applies"], what="the study ends"
        )
        decisions = installation.json("explain", job["study_instance_uid"])["decisions"]
        assert decisions
        assert not any(decision["chosen"] for decision in decisions)
        assert all(decision["reasons"] for decision in decisions)


def test_weights_that_do_not_match_their_hash_are_refused_by_name(tmp_path: Path) -> None:
    package = tmp_path / "models" / "lungs-airways-ct"
    shutil.copytree(ROOT / "models" / "lungs-airways-ct", package)
    weights = bytearray((package / "model.onnx").read_bytes())
    weights[len(weights) // 2] ^= 1
    (package / "model.onnx").write_bytes(weights)
    environ = {"OVERREAD_MODELS__FOLDERS": json.dumps([str(package.parent)]), "OVERREAD_MODELS__PACKAGED": "false"}
    done = command("models", "check", environ=environ)
    assert done.returncode == 65
    assert "model.onnx" in flat(done.stdout)
    assert "SHA-256" in flat(done.stdout)


def test_a_port_in_use_stops_the_listener_with_a_clear_exit_code(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        environ = {"OVERREAD_LISTENER__PORT": port, "OVERREAD_NODE__DATA": str(tmp_path)}
        # All of it in one command stops as well, instead of starting the listener again for ever. Both at a time: each
        # waits a while for the port.
        elsewhere = {**environ, "OVERREAD_NODE__DATA": str(tmp_path / "up")}
        with a_process("listen", environ=environ) as alone, a_process("up", "--no-flower", environ=elsewhere) as up:
            _, said = alone.communicate(timeout=60)
            assert alone.returncode == 78
            assert "port-in-use" in said
            assert port in said
            _, said = up.communicate(timeout=120)
            assert up.returncode == 78
            assert "listener" in said


def test_a_wrong_configuration_names_the_key_and_the_nearest_known_one(tmp_path: Path) -> None:
    path = tmp_path / "overread.toml"
    path.write_text("[listener]\nprot = 104\n")
    done = command("doctor", "--config", str(path))
    assert done.returncode == 78
    assert "unknown key 'listener.prot', did you mean 'port'?" in flat(done.stderr)


def test_a_broker_that_is_down_costs_time_only(tmp_path: Path) -> None:
    """Receiving goes on; the job waits in the database and runs when there is a broker."""
    environ = {**with_a_small_model(tmp_path), "OVERREAD_BROKER__URL": f"redis://127.0.0.1:{free_port()}/0"}
    folder = tmp_path / "study"
    folder.mkdir()
    builders.write(builders.a_ct_slice(), folder / "slice.dcm")
    installation = Installation(tmp_path, send_to=[], environ=environ)
    with installation:
        assert send(installation, folder)["outcomes"][0]["stored"]
        until(lambda: [j for j in installation.jobs() if j["state"] == "queued"], what="the study waits for a broker")
        said = command("doctor", "--data", str(installation.data), environ=installation.environ)
        assert said.returncode == 1
        assert "broker" in said.stdout
        assert "jobs wait in the database" in flat(said.stdout)
        assert "telemetry is off (ORT_DISABLE_TELEMETRY=1)" in flat(said.stdout)
        installation.stop()
    del installation.environ["OVERREAD_BROKER__URL"]
    with installation:
        until(lambda: [j for j in installation.jobs() if j["state"] == "no-model-applies"], what="the study is routed")


def test_a_pacs_that_is_down_loses_nothing_and_blocks_nothing(tmp_path: Path) -> None:
    port = free_port()
    images = builders.a_ct_series(tmp_path / "ct", slices=8, rows=64, columns=64)
    other = tmp_path / "other"
    other.mkdir()
    builders.write(builders.a_ct_slice(study="other"), other / "slice.dcm")
    environ = with_a_small_model(tmp_path)
    with Installation(tmp_path, send_to=[f"GONE@127.0.0.1:{port}"], environ=environ) as installation:
        assert all(outcome["stored"] for outcome in send(installation, *images)["outcomes"])
        job = until(
            lambda: next((j for j in installation.jobs() if j["state"] == "delivering"), None), what="results wait"
        )
        shown = installation.json("show", job["job_id"])
        waiting = until(
            lambda: [d for d in installation.json("show", job["job_id"])["deliveries"] if "unreachable" in d["reason"]],
            what="the reason stands in the ledger",
        )
        assert waiting[0]["state"] == "pending"
        assert len(shown["results"]) == 2
        # Other work goes on meanwhile.
        assert send(installation, other)["outcomes"][0]["stored"]
        until(lambda: [j for j in installation.jobs() if j["state"] == "no-model-applies"], what="the other study ends")
        with DemoPacs(tmp_path / "pacs", ae_title="GONE", port=port) as pacs:
            until(
                lambda: [j for j in installation.jobs() if j["state"] in {"delivered", "committed"}],
                what="delivered once the PACS is back",
            )
            assert sorted(one.modality for one in pacs.studies()) == ["SEG", "SR"]


def test_a_full_disk_is_refused_before_it_is_full(tmp_path: Path) -> None:
    folder = tmp_path / "study"
    folder.mkdir()
    builders.write(builders.a_ct_slice(), folder / "slice.dcm")
    much = str(shutil.disk_usage(tmp_path).free // 2**20 + 10_000)
    environ = {**with_a_small_model(tmp_path), "OVERREAD_STORAGE__RESERVE_MB": much}
    installation = Installation(tmp_path, send_to=[], environ=environ)
    with installation:
        (outcome,) = send(installation, folder)["outcomes"]
        assert outcome["status"] == 0xA700
        assert not outcome["stored"]
        said = command("doctor", "--data", str(installation.data), environ=installation.environ)
        assert "New instances get 0xA700 until there is room" in flat(said.stdout)
        assert installation.jobs() == []
        installation.stop()
    installation.environ["OVERREAD_STORAGE__RESERVE_MB"] = "1"
    with installation:
        assert send(installation, folder)["outcomes"][0]["status"] == 0
