"""What a message of ours looks like, and all that is not one."""

from __future__ import annotations

import json
from typing import Any

import pytest

from worker.tasks.messages import LONGEST_BODY_BYTES, NotOursError, check_envelope, checked_headers

EMBED = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}
HEADERS = {
    "lang": "py", "task": "overread.analyse", "id": "0c4a", "shadow": "analyse lungs 1.0.0", "eta": None,
    "expires": None, "group": None, "retries": 0, "timelimit": [None, None], "root_id": "0c4a", "origin": "gen1@vm",
    "stamped_headers": None, "stamps": {},
}  # fmt: skip
"""As Celery 5.7 writes them for us."""
BODY = json.dumps([["6d1e"], {}, EMBED])
ENVELOPE = {
    "body": "W10=", "content-encoding": "utf-8", "content-type": "application/json", "headers": {},
    "properties": {
        "delivery_info": {"exchange": "overread", "routing_key": "overread.route"}, "priority": 4,
        "body_encoding": "base64", "delivery_tag": "abc",
    },
}  # fmt: skip


def look(headers: object = HEADERS, body: object = BODY, **more: object) -> dict[str, Any]:
    return checked_headers(
        headers, body=body, **{"content_type": "application/json", "content_encoding": "utf-8", **more}
    )


@pytest.mark.parametrize("body", [BODY, BODY.encode(), memoryview(BODY.encode())])
def test_a_ring_is_taken_with_nothing_in_it_but_its_ids(body: object) -> None:
    headers = look({**HEADERS, "something": {"new": 1}}, body)
    assert (headers["task"], headers["id"], headers["shadow"]) == ("overread.analyse", "0c4a", "analyse lungs 1.0.0")
    assert headers["argsrepr"] == "['6d1e']"
    assert not {"something", "eta", "timelimit", "origin"} & set(headers)


def test_a_label_that_is_none_is_not_shown() -> None:
    for label in (7, "two\nlines", "x" * 300):
        assert look({**HEADERS, "shadow": label})["shadow"] is None


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"task": "celery.backend_cleanup"}, "message-for-another-task"),
        ({"task": ["overread.route"]}, "message-for-another-task"),
        ({"task": None}, "message-for-another-task"),
        ({"id": 7}, "message-malformed"),
        ({"id": "../../etc"}, "message-malformed"),
        ({"id": "x" * 65}, "message-malformed"),
        ({"eta": "tomorrow"}, "message-not-for-now"),
        ({"eta": 1e300}, "message-not-for-now"),
        ({"expires": {"at": "noon"}}, "message-not-for-now"),
        ({"timelimit": ["a", "b"]}, "message-not-for-now"),
        ({"timelimit": "now"}, "message-not-for-now"),
        ({"timelimit": 5}, "message-not-for-now"),
        ({"timelimit": [1, None]}, "message-not-for-now"),
        ({"compression": "zlib"}, "message-not-for-now"),
        ({"stamped_headers": ["a"]}, "message-not-for-now"),
    ],
)
def test_headers_that_are_not_ours(changed: dict[str, object], code: str) -> None:
    with pytest.raises(NotOursError) as caught:
        look({**HEADERS, **changed})
    assert caught.value.code == code


@pytest.mark.parametrize("headers", [None, 7, [], "task"])
def test_headers_that_are_none(headers: object) -> None:
    with pytest.raises(NotOursError, match="message-malformed"):
        look(headers)


@pytest.mark.parametrize(
    "body",
    [
        None, 7, b"", "7", "{}", "[]", "[7]", "[[], {}, {}]", '[["a", "b"], {}, {}]', "[[7], {}, {}]",
        '[["a"], [], {}]',
        '[["a"], {"job_id": "b"}, {}]', '[["a"], {}, {"chain": [{}]}]', '[["a"], {}, 7]', '[["a b"], {}, {}]',
        b"\xff\xfe", "\ud800", "[" * 4000, "NaN",
    ],
)  # fmt: skip
def test_bodies_that_are_not_ours(body: object) -> None:
    with pytest.raises(NotOursError, match="message-malformed"):
        look(body=body)


def test_a_long_body_is_not_read() -> None:
    with pytest.raises(NotOursError, match="message-too-long"):
        look(body="[" * (LONGEST_BODY_BYTES + 1))


@pytest.mark.parametrize("kind", ["application/x-python-serialize", "text/plain", None, 7])
def test_nothing_but_json(kind: object) -> None:
    with pytest.raises(NotOursError, match="message-of-another-type"):
        look(content_type=kind)
    with pytest.raises(NotOursError, match="message-of-another-type"):
        look(content_encoding=kind)


def test_an_envelope_as_kombu_writes_it() -> None:
    check_envelope(ENVELOPE)


@pytest.mark.parametrize(
    "changed",
    [
        {"body": 7}, {"headers": None}, {"headers": []}, {"content-type": 7}, {"properties": None},
        {"properties": {**ENVELOPE["properties"], "delivery_tag": ["a"]}},  # type: ignore[dict-item]
        {"properties": {**ENVELOPE["properties"], "delivery_info": 7}},  # type: ignore[dict-item]
        {"properties": {**ENVELOPE["properties"], "body_encoding": "rot13"}},  # type: ignore[dict-item]
    ],
)  # fmt: skip
def test_an_envelope_that_cannot_be_opened(changed: dict[str, object]) -> None:
    with pytest.raises(NotOursError, match="message-malformed"):
        check_envelope({**ENVELOPE, **changed})


@pytest.mark.parametrize("envelope", [None, 7, [], "7", {}])
def test_an_envelope_that_is_none(envelope: object) -> None:
    with pytest.raises(NotOursError, match="message-malformed"):
        check_envelope(envelope)
