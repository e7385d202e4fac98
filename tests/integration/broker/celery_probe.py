"""A Celery application for the tests of the embedded broker; its worker runs in a process of its own."""

from __future__ import annotations

import os
from pathlib import Path

from celery import Celery

app = Celery("probe", broker=os.environ["PROBE_BROKER"], set_as_current=False)
app.conf.update(
    task_acks_late=True,
    task_ignore_result=True,
    worker_prefetch_multiplier=1,
    task_default_queue="probe",
    broker_connection_retry_on_startup=True,
    worker_send_task_events=True,
    task_send_sent_event=True,
    accept_content=["json"],
)


@app.task(name="probe.note", shared=False)
def note(line: str) -> None:
    """Append a line to the file of the test."""
    with Path(os.environ["PROBE_FILE"]).open("a", encoding="utf-8") as stream:
        stream.write(line + "\n")
