"""Flower for those who have the password: every address asks for it, nothing can be commanded, and it remembers."""

from __future__ import annotations

import hmac
import logging
import signal
from base64 import b64decode
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from celery import Celery
from celery.states import READY_STATES
from flower.app import Flower
from flower.events import Events
from flower.options import options
from flower.urls import settings as flower_settings
from flower.views import BaseHandler
from tornado.httputil import HTTPServerRequest
from tornado.ioloop import IOLoop, PeriodicCallback
from tornado.web import HTTPError, RequestHandler

from worker.tasks.history import History

log = logging.getLogger(__name__)

MAX_TASKS = 5000
_OFFLINE_AFTER_S = 60
"""A worker that was not heard of for so long is gone: nobody will say what its tasks came to."""
_LOOK_EVERY_MS = 5000


@dataclass(frozen=True, slots=True)
class MonitorOptions:
    """Where Flower listens (address and port), who may look (``user:password``), and where its history is kept."""

    address: str
    port: int
    login: str
    history: Path


class Monitor(Flower):  # type: ignore[misc]  # flower has no types
    """Flower's application, all of it behind one login."""

    def __init__(self, login: str, **keywords: Any) -> None:
        super().__init__(**keywords)
        self._login = login.encode()
        self.inspector = _AsksNobody()

    def find_handler(self, request: HTTPServerRequest, **keywords: Any) -> Any:
        """Who answers a request: nobody, before it has said who asks."""
        if not self._may_look(request.headers.get("Authorization", "")):
            return self.get_handler_delegate(request, _Denied)
        if request.path.startswith("/worker/"):
            return self.get_handler_delegate(request, _OneWorker)
        return super().find_handler(request, **keywords)

    def _may_look(self, authorization: str) -> bool:
        kind, _, credentials = authorization.partition(" ")
        try:
            said = b64decode(credentials, validate=True)
        except ValueError:
            return False
        return kind.lower() == "basic" and hmac.compare_digest(said, self._login)


class RememberedEvents(Events):  # type: ignore[misc]  # flower has no types
    """The events of workers and tasks; those of tasks are written down, and read when Flower starts."""

    def __init__(self, history: History, **keywords: Any) -> None:
        super().__init__(**keywords)
        self._history = history
        for event in history:
            self._apply(event)
        self._open = {uuid for uuid, task in self.state.tasks.items() if task.state not in READY_STATES}
        self._look = PeriodicCallback(self._forget_what_nobody_will_end, _LOOK_EVERY_MS)
        self._looks = 0

    def start(self) -> None:
        """Listen for events, in a thread of Flower's own."""
        super().start()
        self._look.start()

    def on_event(self, event: dict[str, Any]) -> None:
        """Called in the thread that listens."""
        self.io_loop.add_callback(partial(self._take, event))

    def _take(self, event: dict[str, Any]) -> None:
        if not self._apply(event):
            return
        if str(event.get("type")).startswith("task-"):
            self._history.add(event, self.state.tasks)

    def _apply(self, event: dict[str, Any]) -> bool:
        try:
            self.state.event(dict(event))
        except Exception:  # an event that is not Celery's: whoever reaches the broker can send one
            log.exception("event-refused")
            return False
        return True

    def _forget_what_nobody_will_end(self) -> None:
        """A task that ran when Flower ended, and whose end was not heard: it is not shown as running for ever."""
        self._looks += 1
        waited_s = self._looks * _LOOK_EVERY_MS / 1000
        for uuid in tuple(self._open):
            task = self.state.tasks.get(uuid)
            if task is None or task.state in READY_STATES:
                self._open.discard(uuid)
                continue
            heard = task.worker is not None and task.worker.alive
            if (heard and task.worker.active == 0) or (not heard and waited_s >= _OFFLINE_AFTER_S):
                self._open.discard(uuid)
                self.state.tasks.pop(uuid, None)
                self.state.search_engine.rebuild(self.state.tasks.items())


class _AsksNobody:
    """In place of Flower's inspector: workers take no commands, and answer none."""

    inspect_methods = ()

    def __init__(self) -> None:
        self.workers: dict[str, dict[str, Any]] = {}

    def inspect(self, _worker: str | None = None) -> None:
        """Answer that there is nothing to ask: Flower must not command workers."""


class _Denied(RequestHandler):
    def prepare(self) -> None:
        self.set_status(401)
        self.set_header("WWW-Authenticate", 'Basic realm="flower"')
        self.finish("Access denied")

    def check_xsrf_cookie(self) -> None:
        """Nobody is logged in who could be made use of."""


class _OneWorker(BaseHandler):  # type: ignore[misc]  # flower has no types
    def get(self) -> None:
        raise HTTPError(404, "Workers take no commands here, so that they cannot be asked for more than the list shows")


def run(app: Celery, wanted: MonitorOptions) -> None:
    """Run Flower behind a login until SIGTERM, reading only and without a store of its own."""
    for name, value in {
        "address": wanted.address,
        "port": wanted.port,
        "basic_auth": [wanted.login],
        "read_only": True,
        "persistent": False,  # its own store is a pickle
        "enable_events": False,  # a command to workers: they send events by themselves
        "max_tasks": MAX_TASKS,
        "purge_offline_workers": _OFFLINE_AFTER_S,
        "tasks_columns": "name,args,state,result,exception,received,started,runtime,worker",
    }.items():
        setattr(options, name, value)
    loop = IOLoop.current()
    events = RememberedEvents(
        History(wanted.history), capp=app, io_loop=loop, enable_events=False, max_tasks_in_memory=MAX_TASKS
    )
    monitor = Monitor(wanted.login, options=options, capp=app, events=events, io_loop=loop, **flower_settings)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: loop.add_callback_from_signal(monitor.stop))
    port = monitor.start_http_server()
    log.info("flower-listening", extra={"address": wanted.address, "port": port})
    monitor.start()
