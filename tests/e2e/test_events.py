"""Every event that the runbook names is written by the process that it names: one site, and one bad day."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import Comprehensive3DSRStorage, CTImageStorage, SecondaryCaptureImageStorage, SegmentationStorage
from pynetdicom import AE, evt
from pynetdicom.pdu import A_RELEASE_RQ
from redis import Redis

from tests import builders
from tests.chaos.toy_model import NAME, write_package
from tests.contract.store.postgres import Cluster
from tests.e2e.processes import Installation, tree, until
from tests.integration.confirm.test_commitment_scp import Requester
from tests.integration.deliver.peers import Pacs
from tests.integration.deliver.test_commitment_scu import as_a_message
from tests.ports import free_port
from tests.unit.docs.markdown import log_events
from worker.broker.incarnation import RedisIncarnation
from worker.deliver.commitment_scp import PUSH_MODEL
from worker.demo.pacs import DemoPacs
from worker.domain.result import Destination

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400), pytest.mark.postgres, pytest.mark.redis]

OURS = (SegmentationStorage, Comprehensive3DSRStorage)
PROCESSES = {"listener", "sweeper", "worker", "up"}


class Site:
    """A site whose PACS, broker and database can be taken away."""

    def __init__(self, folder: Path, installation: Installation, requester: Requester) -> None:
        self.folder = folder
        self.installation = installation
        self.requester = requester
        self.us = Destination("overread", "OVERREAD", "127.0.0.1", installation.port)
        self.images = builders.a_ct_series(folder / "ct", slices=8, rows=64, columns=64)

    def events(self) -> list[dict[str, Any]]:
        *whole, _ = self.installation.log.read_text(encoding="utf-8").split("\n")
        return [json.loads(line) for line in whole]

    def wrote(self, event: str, *processes: str) -> bool:
        return any(
            line["event"] == event and line["process"].startswith(processes or tuple(PROCESSES))
            for line in self.events()
        )

    def until(self, event: str, *processes: str) -> None:
        until(lambda: self.wrote(event, *processes), what=f"{event} is in the log", wait_s=90)

    def pid(self, process: str) -> int:
        assert self.installation.process is not None
        commands = {pid: Path(f"/proc/{pid}/cmdline").read_bytes() for pid in tree(self.installation.process.pid)}
        return next(pid for pid, command in commands.items() if process.encode() in command.split(b"\0"))

    def written(self, *found: Dataset) -> list[Path]:
        return [builders.write(one, self.folder / f"{number}.dcm") for number, one in enumerate(found)]

    def send(self, *files: Path) -> list[int]:
        ae = AE(ae_title="CT1")
        for sop_class in (CTImageStorage, SecondaryCaptureImageStorage):
            ae.add_requested_context(sop_class, ["1.2.840.10008.1.2.1"])
        association = ae.associate("127.0.0.1", self.us.port, ae_title="OVERREAD")
        assert association.is_established
        statuses = [int(association.send_c_store(str(one)).Status) for one in files]
        association.release()
        return statuses


@contextmanager
def a_broker(folder: Path) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    port = free_port()
    command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--requirepass", "secret", "--save", ""]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL) as server:
        try:
            url = f"redis://:secret@127.0.0.1:{port}/0"
            until(lambda: RedisIncarnation(url)(), what="Redis answers")
            with Redis.from_url(url) as client:
                client.set("overread.route", "no list")  # somebody shares our broker
                client.lpush("overread.analyse", "7")
            yield url, server
        finally:
            server.kill()


@contextmanager
def hasty() -> Iterator[Pacs]:
    """It reports just when the association is released."""
    promised: list[tuple[int, Dataset]] = []

    def on_action(event: Any) -> tuple[int, None]:
        promised.append((event.context.context_id, event.action_information))
        return 0x0000, None

    def on_pdu(event: Any) -> None:
        if isinstance(event.pdu, A_RELEASE_RQ) and promised:
            context_id, information = promised.pop()
            event.assoc.dimse.send_msg(as_a_message(information, 1), context_id)

    with Pacs(classes=(*OURS, PUSH_MODEL)) as pacs:
        pacs.bind(evt.EVT_N_ACTION, on_action)
        pacs.bind(evt.EVT_PDU_RECV, on_pdu)
        yield pacs


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("events")
    write_package(folder / "models", spins=1500)
    port, answering = free_port(), threading.Event()
    us = Destination("overread", "OVERREAD", "127.0.0.1", port)
    requester, gone = Requester(free_port()), Requester(free_port(), ae_title="GONE")

    def answer(_: Any) -> int:
        answering.wait(120)
        return 0x0000

    with ExitStack() as stack:
        cluster = Cluster()
        stack.callback(cluster.remove)
        url, broker = stack.enter_context(a_broker(folder))
        committing = stack.enter_context(DemoPacs(folder / "pacs", ae_title="COMMITS", peers=[us]))
        plain = stack.enter_context(Pacs(answer, classes=OURS))
        stack.callback(answering.set)
        stack.enter_context(requester.listening())
        destinations = [
            ("COMMITS", committing.port),
            ("PACS", plain.port),
            ("HASTY", stack.enter_context(hasty()).port),
        ]
        environ = {
            "OVERREAD_DATABASE__URL": cluster.url(cluster.new_database()),
            "OVERREAD_BROKER__URL": url,
            "OVERREAD_MODELS__FOLDERS": json.dumps([str(folder / "models")]),
            "OVERREAD_MODELS__ENABLED": json.dumps([NAME]),
            "OVERREAD_DESTINATIONS": json.dumps(
                [
                    {"name": name, "ae_title": name, "host": "127.0.0.1", "port": its, "storage_commitment": True}
                    for name, its in destinations
                ]
            ),
            "OVERREAD_CONFIRMATION__WAIT_ON_ASSOCIATION_S": "0",
            "OVERREAD_LISTENER__OFFER_STORAGE_COMMITMENT": "true",
            "OVERREAD_LISTENER__COMMITMENT_REQUESTERS": json.dumps(
                [{"ae_title": one.ae_title, "host": "127.0.0.1", "port": one.port} for one in (requester, gone)]
            ),
            "OVERREAD_STORAGE__RETENTION_DAYS": "0.0000001",
            "OVERREAD_STORAGE__KEEP_FINISHED_DAYS": "0.0000001",
            "OVERREAD_WORK__LEASE_S": "4",
            "OVERREAD_WORK__MAX_ATTEMPTS": "20",
            # The first result that a process keeps fails as on a dying disk.
            "OVERREAD_FAULT": "produce.kept-one:fail",
        }
        installation = Installation(folder, send_to=[], port=port, environ=environ).start()
        stack.callback(installation.kill)
        site = Site(folder, installation, requester)
        receive(site, gone)
        lose_the_database(site, cluster, answering)
        lose_a_process(site)
        lose_files(site)
        break_the_model(site)
        lose_the_broker(site, broker)
        yield site


def receive(site: Site, gone: Requester) -> None:
    assert site.send(*site.images) == [0x0000] * 8
    first, second = (dcmread(path) for path in site.images[:2])
    first.ImageComments = "other content"
    no_study = builders.a_ct_slice(study="none", attributes={"StudyInstanceUID": None})
    capture = builders.a_secondary_capture(study="other")
    assert site.send(*site.written(first, no_study, capture)) == [0xA900, 0xC000, 0x0000]
    wanted = [(str(CTImageStorage), str(second.SOPInstanceUID))]
    for number, requester in enumerate((site.requester, gone), 1):
        assert requester.ask(site.us, f"2.25.{number}", wanted) == 0x0000


def lose_the_database(site: Site, cluster: Cluster, answering: threading.Event) -> None:
    """While a delivery waits for its PACS, which answers when the database is back."""
    site.until("results-produced", "worker")
    site.until("commitment-reported", "listener")
    cluster.stop()
    for event, process in (("heartbeat-missed", "worker"), ("sweep-failed", "sweeper"), ("chore-failed", "sweeper")):
        site.until(event, process)
    cluster.start()
    answering.set()
    site.until("delivery-not-confirmed", "sweeper")
    site.until("commitment-report-crossed-release", "sweeper")


def lose_a_process(site: Site) -> None:
    """Retention looks at the start of a sweeper."""
    os.kill(site.pid("sweep"), signal.SIGKILL)
    site.until("retired", "sweeper")


def lose_files(site: Site) -> None:
    """A listener looks for them when it starts, and takes them again."""
    for path in (site.installation.data / "spool" / "objects").rglob("*.dcm"):
        path.unlink()
    os.kill(site.pid("listen"), signal.SIGKILL)
    site.until("object-missing", "listener")
    until(lambda: sum(line["event"] == "store-recovered" for line in site.events()) == 2, what="it has looked")
    assert site.send(*site.images) == [0x0000] * 8
    site.until("object-healed", "listener")


def break_the_model(site: Site) -> None:
    """A study waits for it, and goes on when it is mended."""
    weights = next((site.folder / "models").rglob("*.onnx"))
    content = weights.read_bytes()
    weights.write_bytes(b"another file")
    study = builders.a_ct_series(site.folder / "waits", slices=8, rows=64, columns=64, study="waits", series="waits")
    assert site.send(*study) == [0x0000] * 8
    site.until("model-unusable", "worker")
    weights.write_bytes(content)
    site.until("work-released", "sweeper")


def lose_the_broker(site: Site, broker: subprocess.Popen[bytes]) -> None:
    broker.kill()
    assert site.send(*site.written(builders.a_secondary_capture(study="later"))) == [0x0000]
    site.until("broker-away", "sweeper")


SHOWN_ELSEWHERE = {
    "attempt-handed-back": "test_restart.py",
    "heartbeat-deadline": "test_restart.py",
    "broker-channel-closed": "../integration/tasks/test_brokers.py",
    "process-failed": "test_standard_error.py",
    "process-defect": "test_standard_error.py",
    "thread-defect": "../unit/observe/test_stray.py",
    "exception-ignored": "../unit/observe/test_stray.py",
    "standard-error-written": "test_custom_steps.py",
}


@pytest.mark.parametrize("event", SHOWN_ELSEWHERE)
def test_what_is_shown_elsewhere_is(event: str) -> None:
    assert f'"{event}"' in (Path(__file__).parent / SHOWN_ELSEWHERE[event]).read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("event", "processes"), [(event, said) for event, said in log_events() if event not in SHOWN_ELSEWHERE]
)
def test_an_event_is_in_the_log_of_its_process(site: Site, event: str, processes: tuple[str, ...]) -> None:
    assert set(processes) <= PROCESSES
    assert site.wrote(event, *processes)


def test_each_line_is_an_event_and_instances_have_none(site: Site) -> None:
    lines = site.events()  # each is JSON: no banner, no word for people
    assert "instance-received" not in {line["event"] for line in lines}
    assert all(line["process"].partition("-")[0] in PROCESSES for line in lines)
