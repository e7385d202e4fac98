"""The deliver lane as it is run: a real worker, a real broker, and PACS that take an association and never answer."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.processes import tree
from tests.integration.confirm.site import Site
from tests.integration.deliver.peers import Pacs, hangs
from tests.integration.deliver.servers import wait_until
from tests.integration.tasks.test_brokers import ROOT, redis_url
from worker.cli.background_threads import Background
from worker.domain.result import DeliveryState
from worker.store.database.database import Database, sqlite_url
from worker.store.database.schema import migrate
from worker.wiring.background_work import BackgroundTask
from worker.wiring.sweeper import build_sweeper

__all__ = ["redis_url"]

pytestmark = [pytest.mark.redis, pytest.mark.timeout(120)]


@contextmanager
def a_worker(site: Site, arguments: Sequence[str], broker_url: str) -> Iterator[None]:
    settings = site.settings
    environ = {
        **os.environ,
        "OVERREAD_NODE__DATA": str(settings.node.data),
        "OVERREAD_NODE__AE_TITLE": settings.node.ae_title,
        "OVERREAD_DATABASE__URL": settings.database_url,
        "OVERREAD_BROKER__URL": broker_url,
        "OVERREAD_DESTINATIONS": json.dumps([one.model_dump(exclude_unset=True) for one in settings.destinations]),
    }
    command = [sys.executable, "-m", "worker.cli", "work", *arguments]
    with (site.folder / "worker.log").open("ab") as log:
        process = subprocess.Popen(command, env=environ, cwd=ROOT, stdout=log, stderr=log, start_new_session=True)
    try:
        yield
    finally:
        for pid in tree(process.pid):  # they would wait for the answers that never come
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.wait(20)


def entry(pacs: Pacs) -> dict[str, Any]:
    return {"ae_title": "PACS", "port": pacs.port}


@pytest.mark.parametrize("arguments", [["--lane", "deliver"], []], ids=["deliver", "all"])
def test_pacs_that_hang_delay_no_other(tmp_path: Path, redis_url: str, arguments: list[str]) -> None:
    with ExitStack() as stack:
        never = stack.enter_context(hangs())
        dead = [stack.enter_context(Pacs(never)) for _ in range(2)]
        alive = stack.enter_context(Pacs())
        url = sqlite_url(tmp_path / "overread.db")
        migrate(Database(url))
        site = Site(tmp_path, url, destinations=[entry(one) for one in (*dead, alive)], broker={"url": redis_url})
        jobs = [site.produced(n) for n in range(1, 6)]
        stack.callback(site.close)
        stack.enter_context(Background([BackgroundTask("sweep", build_sweeper(site.settings).sweep, 0.1)]))
        stack.enter_context(a_worker(site, arguments, redis_url))
        wait_until(lambda: all(site.delivery(one, "PACS2").state is DeliveryState.SENT for one in jobs))
        for hung in ("PACS", "PACS1"):
            states = [site.delivery(one, hung).state for one in jobs]
            assert states.count(DeliveryState.SENDING) == 2, "they hold their own places, and no more"
            assert states.count(DeliveryState.PENDING) == 3
        assert len(alive.uids) == len(set(alive.uids)) == 10
