"""The Celery application: JSON ids only, late acknowledgement, one prefetch, no result back-end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from celery import Celery
from kombu.entity import Exchange, Queue

from worker.tasks.consumer import LaneConsumer, stand_at_the_gate
from worker.tasks.lanes import Lane

PRIORITIES = 10
EXCHANGE = "overread"
ANSWER_S = 3
"""Whoever asks a broker for something has other work to do: one that is silent for so long is away."""


@dataclass(frozen=True, slots=True)
class BrokerOptions:
    """How the broker is used. ``deadline_s`` is the longest time of one attempt."""

    url: str
    deadline_s: float = 3600.0

    @property
    def is_redis(self) -> bool:
        """Redis in any of its forms: TCP, TLS, Unix socket."""
        return urlsplit(self.url).scheme.split("+")[0] in {"redis", "rediss"}


def make_app(options: BrokerOptions) -> Celery:
    """Make the application. It is never the global one: two of them can live in one process (tests, the demo)."""
    stand_at_the_gate()
    app = Celery("overread", broker=options.url, set_as_current=False, fixups=[])
    app.conf.update(
        task_serializer="json",
        accept_content=["json"],  # never pickle: that is remote code execution (CELERYSA-0003)
        event_serializer="json",
        task_ignore_result=True,
        task_store_errors_even_if_ignored=False,
        # The ledger decides what runs again, so a message may be acknowledged when its worker died: the sweeper
        # takes the job back and counts the attempt. Rejecting instead would loop for ever on a job that kills.
        task_acks_late=True,
        task_reject_on_worker_lost=False,
        task_acks_on_failure_or_timeout=True,
        worker_prefetch_multiplier=1,
        worker_lost_wait=1.0,  # seconds until the parent says that a child died, and of what
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        worker_max_tasks_per_child=500,  # native libraries keep their peak; a new child starts clean (celery#4843)
        worker_cancel_long_running_tasks_on_connection_loss=False,
        worker_consumer=f"{LaneConsumer.__module__}:{LaneConsumer.__name__}",
        # Whoever reaches the broker could stop a lane unseen (cancel_consumer, rate_limit, shutdown). Flower lives on
        # the events that workers send by themselves.
        worker_enable_remote_control=False,
        worker_send_task_events=True,
        task_send_sent_event=False,
        task_time_limit=options.deadline_s + 30,
        # RabbitMQ closes the channel of a consumer that acknowledges later than its ``consumer_timeout`` (30 minutes):
        # it is opened again, and the message that comes once more finds its job running. Of Redis such an error says
        # that a key of ours is something else: the worker ends, and the next one removes it first.
        broker_channel_error_retry=not options.is_redis,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_connection_timeout=ANSWER_S,
        task_default_queue=Lane.ROUTE.queue,
        task_create_missing_queues=False,
        task_queues=[_queue(lane, options) for lane in Lane],
        broker_transport_options=transport_options(options),
        timezone="UTC",
        enable_utc=True,
    )
    return app


def _queue(lane: Lane, options: BrokerOptions) -> Queue:
    arguments = None if options.is_redis else {"x-max-priority": PRIORITIES}
    return Queue(lane.queue, Exchange(EXCHANGE, type="direct"), routing_key=lane.queue, queue_arguments=arguments)


def transport_options(options: BrokerOptions, *, confirmed: bool = False) -> dict[str, Any]:
    """What kombu's transport is told. ``confirmed``: RabbitMQ says of each message that it has it.

    A worker asks for no such word for what it tells Flower: a RabbitMQ that takes no messages (memory or disk alarm)
    still gives them out, and its worker goes on.
    """
    # Who publishes asks once: what is not published now is published by the next sweep.
    asked = {"max_retries": 0} if confirmed else {}
    if not options.is_redis:
        return {**asked, "confirm_publish": confirmed, "read_timeout": ANSWER_S, "write_timeout": ANSWER_S}
    return {
        **asked,
        # A message lives until somebody takes it. The sweeper publishes again what came to nothing, so kombu need not
        # remember what it gave away: a book of its own in Redis that could be damaged, and would be read by all.
        "ack_emulation": False,
        "priority_steps": list(range(PRIORITIES)),
        "queue_order_strategy": "priority",
        "socket_connect_timeout": 3,
        "socket_timeout": 30,
        "socket_keepalive": True,
        "health_check_interval": 25,
    }
