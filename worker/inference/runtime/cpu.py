"""How many CPUs this process really has: a thread pool sized from the host starves inside a container."""

from __future__ import annotations

import math
import os
from pathlib import Path

_PROC = Path("/proc/self/cgroup")
_SYSFS = Path("/sys/fs/cgroup")


def cpu_limit(*, cgroup_file: Path = _PROC, cgroup_root: Path = _SYSFS) -> int:
    """The smaller of scheduler affinity and cgroup quota (version 1 or 2, the tightest level), at least 1.

    A quota of 1.5 CPUs gives 1: a second thread would only be throttled.
    """
    limits = [float(len(os.sched_getaffinity(0))), _quota(cgroup_file, cgroup_root)]
    return max(1, math.floor(min(limits)))


def _quota(cgroup_file: Path, root: Path) -> float:
    """CPUs that the cgroup grants; infinity where there is no limit or no cgroup."""
    lines = _read(cgroup_file).splitlines()
    tightest = math.inf
    for line in lines:
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controllers == "":
            bases = [root, root / "unified"]
        elif "cpu" in controllers.split(","):
            bases = [root / name for name in (controllers, "cpu", "cpu,cpuacct")]
        else:
            continue
        for base in bases:
            # In a container the path of the host is often not visible and the limit stands at the root.
            for folder in {base / part for part in _levels(path)}:
                tightest = min(tightest, _version_2(folder), _version_1(folder))
    return tightest


def _levels(path: str) -> list[str]:
    parts = [part for part in path.split("/") if part not in ("", "..")]
    return ["/".join(parts[:count]) for count in range(len(parts) + 1)]


def _version_2(folder: Path) -> float:
    quota, _, period = _read(folder / "cpu.max").strip().partition(" ")
    return _ratio(quota, period)


def _version_1(folder: Path) -> float:
    return _ratio(_read(folder / "cpu.cfs_quota_us").strip(), _read(folder / "cpu.cfs_period_us").strip())


def _ratio(quota: str, period: str) -> float:
    # "max" (version 2) and -1 (version 1) mean no limit.
    if not (quota.isdigit() and period.isdigit() and int(quota) > 0 and int(period) > 0):
        return math.inf
    return int(quota) / int(period)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError):
        return ""
