from __future__ import annotations

import multiprocessing
import subprocess
import sys
from contextlib import suppress

from worker.domain.job import JobKind
from worker.tasks.app import BrokerOptions, make_app
from worker.tasks.lanes import Lane, lane_of
from worker.tasks.outcome import WorkFailedError
from worker.tasks.stopping import ChildStop
from worker.tasks.work import is_dead, register, worker_name


class NoStop(ChildStop):
    """In the process of the tests no signal is taken."""

    def _listen(self) -> None:
        pass


class Nothing:
    """Use-cases that are never called here."""

    route = analyse = deliver = None


def test_messages_are_json_and_nothing_else_is_accepted() -> None:
    conf = make_app(BrokerOptions("redis://127.0.0.1:1/0")).conf
    assert conf.accept_content == ["json"]
    assert conf.task_serializer == "json"
    assert conf.result_backend is None
    assert conf.task_acks_late
    assert conf.worker_prefetch_multiplier == 1


def test_nothing_is_remembered_in_redis_beside_the_queues_and_nobody_commands_a_worker() -> None:
    conf = make_app(BrokerOptions("redis://127.0.0.1:1/0")).conf
    assert conf.broker_transport_options["ack_emulation"] is False
    assert conf.worker_enable_remote_control is False


def test_rabbitmq_queues_have_priorities() -> None:
    conf = make_app(BrokerOptions("amqp://guest:guest@127.0.0.1:1//")).conf
    assert {queue.queue_arguments["x-max-priority"] for queue in conf.task_queues} == {10}


def test_two_applications_in_one_process_keep_their_own_tasks() -> None:
    apps = [make_app(BrokerOptions("redis://127.0.0.1:1/0")) for _ in range(2)]
    called: list[int] = []
    for number, app in enumerate(apps):

        def use_cases(number: int = number) -> Nothing:
            called.append(number)
            return Nothing()

        register(app, use_cases, lambda *_args, **_kwargs: None, stop=NoStop())  # type: ignore[arg-type]
    for number, app in enumerate(apps):
        task = app.tasks[Lane.ROUTE.task]
        with suppress(WorkFailedError):
            task.run("job")
        assert called[-1] == number


def test_every_kind_of_job_has_a_lane_of_its_own() -> None:
    assert {lane_of(kind) for kind in JobKind} == {Lane.ROUTE, Lane.ANALYSE}
    assert len({lane.queue for lane in Lane}) == 3


def test_only_a_process_of_this_machine_is_known_to_be_dead() -> None:
    child = multiprocessing.get_context("fork").Process(target=int)
    child.start()
    assert child.pid is not None
    name = worker_name(child.pid)
    child.join(30)
    assert is_dead(name)
    assert not is_dead(worker_name())
    assert not is_dead(f"elsewhere/1:{child.pid}")


def test_a_worker_that_ends_by_itself_is_not_taken_for_one_that_was_stopped() -> None:
    script = """
from worker.domain.errors import TransientError
from worker.tasks import program
from worker.tasks.stopping import ParentStop

class EndsAtOnce:
    def Worker(self, **options):
        return self

    def start(self):
        pass

try:
    program.run(EndsAtOnce(), [], concurrency=1, stop=ParentStop(str, len, len))
except TransientError as error:
    assert error.code == "worker-ended"
    raise SystemExit(75)
"""
    assert subprocess.run([sys.executable, "-c", script], timeout=60, check=False).returncode == 75
