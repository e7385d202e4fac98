"""Which broker, and the Celery application on it."""

from __future__ import annotations

from urllib.parse import urlsplit

from celery import Celery

from worker.broker import wrong_type_keys
from worker.broker.embedded import EmbeddedRedis
from worker.domain.errors import ConfigurationError
from worker.settings import Settings
from worker.tasks.app import EXCHANGE, PRIORITIES, BrokerOptions, make_app
from worker.tasks.lanes import Lane

_LOOPBACK = {"127.0.0.1", "localhost", "::1"}


def embedded(settings: Settings) -> EmbeddedRedis | None:
    """The embedded broker of this installation; None when a URL is configured."""
    if settings.broker.url.get_secret_value():
        return None
    return EmbeddedRedis(settings.node.data / "broker")


def options(settings: Settings) -> BrokerOptions:
    """The broker's URL and the longest attempt. Raises ConfigurationError for a broker that is open to the network."""
    redis = embedded(settings)
    url = redis.url if redis is not None else settings.broker.url.get_secret_value()
    parts = urlsplit(url)
    if parts.scheme.split("+")[0] not in {"redis", "rediss", "amqp", "amqps"}:
        raise ConfigurationError(
            f"broker.url has the scheme {parts.scheme!r}; expected redis, rediss, amqp or amqps.",
            next_step="Only brokers that keep a message of a killed worker are supported.",
            code="broker-scheme",
        )
    if parts.hostname and parts.hostname not in _LOOPBACK and not parts.password:
        raise ConfigurationError(
            "broker.url names another machine without a password: anybody who reaches it could run jobs.",
            next_step="Give the broker a password, and put it into the URL.",
            code="broker-open",
        )
    return BrokerOptions(url=url, deadline_s=settings.work.deadline_s)


def remove_wrong_type_keys(settings: Settings) -> tuple[str, ...]:
    """Free the queues from values that no message can be in; see ``worker.broker.wrong_type_keys``."""
    queues = [lane.queue for lane in Lane]
    return wrong_type_keys.remove_wrong_type_keys(
        options(settings).url, exchange=EXCHANGE, queues=queues, priorities=PRIORITIES
    )


def application(settings: Settings) -> Celery:
    """The Celery application of this installation."""
    return make_app(options(settings))
