"""Publish the id of what is due. The broker may lose it; the sweeper publishes again."""

from __future__ import annotations

from celery import Celery
from kombu.exceptions import OperationalError

from worker.domain.errors import TransientError
from worker.domain.work import DueWork
from worker.tasks.app import PRIORITIES, BrokerOptions, transport_options
from worker.tasks.lanes import Lane, lane_of

_OF_A_FULL_REDIS = "used memory > 'maxmemory'"


class CeleryPublisher:
    """The ``Publisher`` port on Celery. The application is its own, not a worker's."""

    def __init__(self, app: Celery, options: BrokerOptions) -> None:
        app.conf.broker_transport_options = transport_options(options, confirmed=True)
        self._app = app
        self._refusals: tuple[type[Exception], ...] = (
            () if options.is_redis else app.connection_for_write().channel_errors
        )
        self._options = options

    def publish(self, due: DueWork) -> None:
        """Send one message with one id in it.

        Raises
        ------
        TransientError
            ``broker-away``: it does not answer. ``broker-full``: a Redis that has no memory left for a message.
            ``broker-refused``: a RabbitMQ that does not let us write, or has a queue of our name of another kind.
        """
        lane = lane_of(due.kind) if due.kind is not None else Lane.DELIVER
        # Redis takes the lowest number first, RabbitMQ the highest.
        priority = PRIORITIES - 1 - due.priority if self._options.is_redis else due.priority
        try:
            self._app.send_task(
                lane.task,
                args=[due.job_id or due.delivery_id],
                queue=lane.queue,
                shadow=due.label,  # the name that Flower shows: stage, model and version
                priority=priority,
                retry=False,
                ignore_result=True,
            )
        except self._refusals as error:
            raise TransientError(
                "The broker refuses our messages.",
                next_step="Its log says why. A queue that was made with other arguments is to be deleted.",
                code="broker-refused",
            ) from error
        except (OperationalError, OSError) as error:
            if _OF_A_FULL_REDIS in str(error):
                raise TransientError(
                    "The broker has no memory left for a message.",
                    next_step="Find out what fills it, and who shares it. Jobs wait in the database meanwhile.",
                    code="broker-full",
                ) from error
            raise TransientError(
                "The broker does not answer, or takes no messages.",
                next_step="Jobs wait in the database and run when it is back.",
                code="broker-away",
            ) from error
