"""Evidence: the instances that a result was made from."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from worker.domain.study import Digest, StoredInstance


def evidence_digest(evidence: Iterable[StoredInstance]) -> Digest:
    """Return one SHA-256 over UIDs and digests of all evidence: shows what a result was made from, whatever the order.

    It is that of the lines ``SOP Instance UID, space, SHA-256`` in ascending order, each ended by a line feed.
    """
    lines = sorted(f"{instance.sop_instance_uid} {instance.sha256}\n" for instance in evidence)
    return Digest(hashlib.sha256("".join(lines).encode("ascii")).hexdigest())
