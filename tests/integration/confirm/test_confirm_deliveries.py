"""Only a confirmation ends a delivery: PACS that keep their word, and PACS that do not."""

from __future__ import annotations

import threading
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pynetdicom import evt

from tests.integration.confirm.site import Site, quick
from tests.integration.deliver.objects import at
from tests.integration.deliver.peers import RESULT_CLASSES, Pacs, hangs
from tests.integration.deliver.servers import orthanc, wait_until
from tests.ports import free_port
from worker.deliver.commitment_scp import PUSH_MODEL
from worker.demo.pacs import DemoPacs
from worker.domain.job import JobState
from worker.domain.result import DeliveryState, Destination

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

US = at(0, ae_title="OVERREAD", name="overread")


class Forgetful(DemoPacs):
    """Answers 0x0000 to the first ``forgets`` objects and keeps none of them."""

    forgets = 0
    heard: list[str]

    def _on_store(self, event: Any) -> int:
        self.heard = [*getattr(self, "heard", []), str(event.request.AffectedSOPInstanceUID)]
        if len(self.heard) <= self.forgets:
            return 0x0000
        return super()._on_store(event)


def a_pacs(folder: Path, us: Destination | None, *, forgets: int = 0, delay_s: float = 0.1) -> Forgetful:
    pacs = Forgetful(folder, ae_title="PACS", peers=[us] if us else [], commitment_delay_s=delay_s)
    pacs.forgets = forgets
    return pacs


def kept(pacs: DemoPacs) -> list[str]:
    """How many objects of each SOP class stand in it."""
    return sorted(f"{one.modality} x{one.instance_count}" for one in pacs.studies())


def commits(pacs: DemoPacs | Pacs, **more: Any) -> dict[str, Any]:
    return {"ae_title": "PACS", "port": pacs.port, "storage_commitment": True, **more}


def test_a_promise_on_a_new_association_commits_the_job(tmp_path: Path, database_url: str) -> None:
    port = free_port()
    with (
        a_pacs(tmp_path / "pacs", replace(US, port=port)) as pacs,
        Site(tmp_path, database_url, destinations=[commits(pacs)], port=port) as site,
    ):
        job_id = site.produced()
        site.until(job_id)
        assert site.delivery(job_id).state is DeliveryState.COMMITTED
        assert site.outcomes(job_id) == ["reported: 2 of 2 object(s) confirmed"]
        assert pacs.heard == site.uids(job_id)


def test_a_promise_on_the_same_association_needs_no_way_back(tmp_path: Path, database_url: str) -> None:
    with (
        a_pacs(tmp_path / "pacs", None) as pacs,
        Site(tmp_path, database_url, destinations=[commits(pacs)], confirmation={"wait_on_association_s": 10}) as site,
    ):
        job_id = site.produced()
        site.until(job_id)
        assert site.outcomes(job_id) == ["reported: 2 of 2 object(s) confirmed"]


@pytest.mark.parametrize("forgets", [1, 2, 4, 7])
def test_a_liar_is_found_out_and_has_exactly_one_of_each_in_the_end(
    tmp_path: Path, database_url: str, forgets: int
) -> None:
    """0x0000 and not stored: for one object, for both, for both again and again."""
    port = free_port()
    with (
        a_pacs(tmp_path / "pacs", replace(US, port=port), forgets=forgets) as pacs,
        Site(tmp_path, database_url, destinations=[commits(pacs)], port=port) as site,
    ):
        job_id = site.produced()
        site.until(job_id)
        seg, sr = site.uids(job_id)
        assert kept(pacs) == ["SEG x1", "SR x1"]
        # What was kept is not sent again, and the order is that of the delivery.
        assert (
            pacs.heard
            == {
                1: [seg, sr, seg],
                2: [seg, sr, seg, sr],
                4: [seg, sr, seg, sr, seg, sr],
                7: [seg, sr, seg, sr, seg, sr, seg, sr, seg],
            }[forgets]
        )
        asked = [one.transaction_uid for one in site.ledger.queries.commitments(job_id)]
        assert len(asked) == len(set(asked)) == {1: 2, 2: 2, 4: 3, 7: 5}[forgets]
        assert any("0x0112" in one for one in site.outcomes(job_id))
        states = [step.after for step in site.ledger.queries.timeline(job_id)]
        assert states.count(JobState.DELIVERED) == len(asked)


def test_who_never_reports_gets_it_again_and_is_asked_again(tmp_path: Path, database_url: str) -> None:
    """It takes the request and cannot find us: then somebody enters our address there."""
    port = free_port()
    with (
        a_pacs(tmp_path / "pacs", None) as pacs,
        Site(
            tmp_path, database_url, destinations=[commits(pacs)], port=port, confirmation={"answer_within_s": 1}
        ) as site,
    ):
        job_id = site.produced()
        wait_until(lambda: len(site.outcomes(job_id)) > 1)
        assert site.outcomes(job_id)[0] == "commitment-failed: no answer in time: 0 of 2 object(s) confirmed"
        pacs._peers["OVERREAD"] = replace(US, port=port)
        site.until(job_id)
        assert kept(pacs) == ["SEG x1", "SR x1"]
        assert len(pacs.heard) % 2 == 0
        assert len(pacs.heard) >= 4


def test_who_does_not_offer_it_is_named_and_gets_nothing_twice(tmp_path: Path, database_url: str) -> None:
    with Pacs() as pacs, Site(tmp_path, database_url, destinations=[commits(pacs)]) as site:
        job_id = site.produced()
        wait_until(lambda: "commitment-not-offered" in site.delivery(job_id).reason)
        associations = pacs.associations
        assert "commitment-not-offered" in site.ledger.queries.job(job_id).reason
        assert site.state(job_id) is JobState.DELIVERED
        second = site.produced(2)
        wait_until(lambda: "commitment-not-offered" in site.delivery(second).reason)
        assert pacs.associations == associations + 2  # one to send, one to ask: the first job was not asked again
        assert len(pacs.uids) == 4


def test_a_dead_pacs_holds_up_no_other(tmp_path: Path, database_url: str) -> None:
    port = free_port()
    with ExitStack() as stack:
        alive = stack.enter_context(a_pacs(tmp_path / "alive", replace(US, port=port)))
        dies = a_pacs(tmp_path / "dies", replace(US, port=port), delay_s=3600)
        stack.enter_context(dies)
        site = Site(
            tmp_path,
            database_url,
            destinations=[commits(alive), commits(dies)],
            port=port,
            confirmation={"answer_within_s": 3600},
        )
        stack.enter_context(site)
        first = site.produced(1)
        wait_until(lambda: site.delivery(first, "PACS").state is DeliveryState.COMMITTED)
        wait_until(lambda: site.delivery(first, "PACS1").state is DeliveryState.SENT)
        dies.stop()
        second = site.produced(2)
        wait_until(lambda: site.delivery(second, "PACS").state is DeliveryState.COMMITTED)
        assert site.state(first) is JobState.DELIVERED
        assert site.delivery(second, "PACS1").state is not DeliveryState.COMMITTED


def test_pacs_that_never_answer_the_question_hold_up_no_other(tmp_path: Path, database_url: str) -> None:
    """They store, take the request for their promise, and say nothing: 60 seconds each time."""
    port = free_port()
    with ExitStack() as stack:
        alive = stack.enter_context(a_pacs(tmp_path / "alive", replace(US, port=port)))
        hanging, asked = stack.enter_context(ExitStack()), threading.Semaphore(0)
        never = hanging.enter_context(hangs())

        def on_action(event: Any) -> tuple[int, None]:
            asked.release()
            return never(event), None

        classes = (*RESULT_CLASSES, str(PUSH_MODEL))
        hung = [stack.enter_context(Pacs(classes=classes, handlers=[(evt.EVT_N_ACTION, on_action)])) for _ in range(2)]
        destinations = [commits(one) for one in (*hung, alive)]
        site = stack.enter_context(Site(tmp_path, database_url, destinations=destinations, port=port))
        stack.push(hanging)  # ends before the site, which need not wait for them then
        first = site.produced(1)
        assert asked.acquire(timeout=60)
        assert asked.acquire(timeout=60)
        second = site.produced(2)
        for job_id in (first, second):
            wait_until(lambda job_id=job_id: site.delivery(job_id, "PACS2").state is DeliveryState.COMMITTED)
            assert [site.delivery(job_id, name).state for name in ("PACS", "PACS1")] == [DeliveryState.SENT] * 2


def test_a_pacs_that_was_away_is_asked_when_it_is_back(tmp_path: Path, database_url: str) -> None:
    """Nothing is sent again only because nobody could be asked."""
    port = free_port()
    us = replace(US, port=port)
    with ExitStack() as stack:
        pacs = stack.enter_context(a_pacs(tmp_path / "pacs", us))
        site = Site(tmp_path, database_url, destinations=[commits(pacs)], port=port)
        job_id = site.produced()
        site._deliver()
        pacs_port = pacs.port
        pacs.stop()
        assert site.delivery(job_id).state is DeliveryState.SENT
        stack.enter_context(site)
        wait_until(lambda: "destination-unreachable" in site.delivery(job_id).reason)
        again = Forgetful(tmp_path / "pacs", ae_title="PACS", port=pacs_port, peers=[us], commitment_delay_s=0.1)
        stack.enter_context(again)
        site.end_pauses()
        site.until(job_id)
        assert not hasattr(again, "heard")
        assert site.outcomes(job_id)[0].startswith("commitment-not-asked: destination-unreachable")


@pytest.mark.parametrize("forgets", [0, 1, 2])
def test_a_look_finds_what_was_kept_and_what_was_not(tmp_path: Path, database_url: str, forgets: int) -> None:
    with (
        a_pacs(tmp_path / "pacs", None, forgets=forgets) as pacs,
        Site(tmp_path, database_url, destinations=[{"ae_title": "PACS", "port": pacs.port, "read_back": True}]) as site,
    ):
        job_id = site.produced()
        site.until(job_id)
        assert kept(pacs) == ["SEG x1", "SR x1"]
        assert len(pacs.heard) == 2 + forgets
        assert site.outcomes(job_id)[-1] == "looked for by C-FIND: 2 of 2 object(s) confirmed"
        # Nobody promised anything.
        assert site.ledger.queries.job(job_id).reason == "confirmed by a query of 1 destination(s)"


def test_two_sweepers_ask_once(tmp_path: Path, database_url: str) -> None:
    port = free_port()
    with ExitStack() as stack:
        pacs = stack.enter_context(a_pacs(tmp_path / "pacs", replace(US, port=port)))
        site = stack.enter_context(Site(tmp_path, database_url, destinations=[commits(pacs)], port=port))
        for task in range(3):
            stack.enter_context(_more_background_tasks(site, task))
        jobs = [site.produced(n) for n in range(1, 6)]
        for job_id in jobs:
            site.until(job_id)
            assert len(site.outcomes(job_id)) == 1
        assert len(pacs.heard) == len(set(pacs.heard)) == 10


def _more_background_tasks(site: Site, number: int) -> Any:
    from worker.cli.background_threads import Background
    from worker.wiring.background_work import background_tasks

    return Background(
        [quick(replace(one, name=f"{one.name}-{number}"), 0.05) for one in background_tasks(site.settings)]
    )


@pytest.mark.orthanc
@pytest.mark.timeout(280)
def test_orthanc_promises_and_what_it_lost_comes_back(tmp_path: Path, database_url: str) -> None:
    import urllib.request

    port = free_port()
    us = replace(US, port=port)
    with ExitStack() as stack:
        pacs = stack.enter_context(orthanc(tmp_path / "orthanc", peers=[us]))
        entry = {"ae_title": "ORTHANC", "port": pacs.destination.port, "storage_commitment": True}
        site = Site(tmp_path, database_url, destinations=[entry], port=port, confirmation={"answer_within_s": 60})
        first = site.produced(1)
        site._deliver()
        assert pacs.instances() == set(site.uids(first))
        for one in pacs.get("/instances"):  # somebody deletes them before the promise
            request = urllib.request.Request(f"http://127.0.0.1:{pacs.http_port}/instances/{one}", method="DELETE")
            urllib.request.urlopen(request, timeout=10).close()
        stack.enter_context(site)
        site.until(first)
        assert pacs.instances() == set(site.uids(first))
        assert len(pacs.get("/instances")) == 2
        assert site.outcomes(first) == [
            "commitment-failed: reported (failure reason 0x0112): 0 of 2 object(s) confirmed",
            "reported: 2 of 2 object(s) confirmed",
        ]
