"""Runs the system under load while breaking it, lets it settle, and reckons."""

from __future__ import annotations

import queue
import random
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.chaos.book import Book
from tests.chaos.plan import CALM, Round, drawn
from tests.chaos.reconcile import Findings, reconcile, unfinished
from tests.chaos.senders import Connections, Errand, Sender, errands_for
from tests.chaos.studies import a_study
from tests.chaos.system import Disk, Pacs, System

LATE_AFTER_S = 3.0
_DISK_MB = 512


@dataclass(frozen=True, slots=True)
class Load:
    """How much is sent."""

    senders: int = 4
    studies_per_round: int = 8
    pace_s: float = 0.3


@dataclass
class Outcome:
    """A run and its reckoning."""

    title: str
    seed: int
    rounds: int = 0
    kills: Counter[str] = field(default_factory=Counter)
    nuisances: Counter[str] = field(default_factory=Counter)
    misbehaviours: Counter[str] = field(default_factory=Counter)
    left_out: list[str] = field(default_factory=list)
    restarts_s: list[float] = field(default_factory=list)
    outages_s: Counter[str] = field(default_factory=Counter)
    """The longest outage of each kind."""
    answers: Counter[str] = field(default_factory=Counter)
    repeats: int = 0
    seconds: float = 0.0
    settled_s: float = 0.0
    findings: Findings = field(default_factory=Findings)
    defects: list[str] = field(default_factory=list)
    """What the driver itself could not do: a restart that failed, a sender that broke."""

    @property
    def passed(self) -> bool:
        return self.findings.clean and not self.defects

    def outage(self, kind: str, seconds: float) -> None:
        self.outages_s[kind] = max(self.outages_s[kind], seconds)  # type: ignore[assignment]

    def table(self) -> str:
        """The figures, for people."""
        found = self.findings
        restarts = sorted(self.restarts_s)
        rows = [
            ("rounds", f"{self.rounds} in {self.seconds:.0f} s (seed {self.seed})"),
            ("kills (SIGKILL)", f"{sum(self.kills.values())}: {_listed(self.kills)}"),
            ("other faults", _listed(self.nuisances)),
            ("PACS misbehaved", _listed(self.misbehaviours)),
            ("left out", "; ".join(self.left_out) or "nothing"),
            ("instances acknowledged", f"{found.instances} (and {self.repeats} repeats of them)"),
            ("answers and failures seen", _listed(self.answers)),
            ("studies", f"{found.studies}, of which {found.complete_studies} acknowledged completely"),
            ("results in the PACS", f"{found.results} objects ({found.superseded_sets} superseded reports among them)"),
            ("listener back after", f"{restarts[len(restarts) // 2]:.1f} s median, {restarts[-1]:.1f} s longest")
            if restarts
            else ("listener back after", "-"),
            ("longest outage bridged", ", ".join(f"{k} {v:.1f} s" for k, v in sorted(self.outages_s.items())) or "-"),
            ("settled after", f"{self.settled_s:.0f} s; most attempts at one job: {found.largest_attempt}"),
            ("lost", str(len(found.lost))),
            ("doubled", str(len(found.doubled))),
            ("misfiled", str(len(found.misfiled))),
            ("not at an end", str(len(found.unfinished))),
        ]
        width = max(len(name) for name, _ in rows)
        lines = [f"== {self.title}: {'passed' if self.passed else 'FAILED'}"]
        lines += [f"   {name:<{width}}  {value}" for name, value in rows]
        lines += [f"   ! {one}" for one in (*self.defects, *found.complaints())]
        return "\n".join(lines)


class Driver:
    """One run.

    Parameters
    ----------
    confirm:
        How the worker makes sure that the PACS keeps what it took: ``no``, ``read-back`` or ``commitment``.
    say:
        Told what happens, as it happens.
    settle_s:
        How long everything may take to come to its end once nothing is broken any more.
    disk_mb:
        Size of the file system of its own that the data folder gets, so that it can be filled; 0 for none.
    """

    def __init__(
        self,
        folder: Path,
        *,
        title: str,
        seed: int,
        rounds: Sequence[Round],
        load: Load,
        confirm: str,
        settle_s: float,
        say: Callable[[str], None],
        seconds: float = float("inf"),
        disk_mb: int = _DISK_MB,
    ) -> None:
        self._rounds = rounds
        self._confirm = confirm
        self._load = load
        self._settle_s = settle_s
        self._say = say
        self._seconds = seconds
        self._rng = random.Random(f"{seed}/{title}")
        self._prefix = f"{abs(seed):x}{title.encode().hex()[:6]}"
        self._pacs = Pacs(folder / "pacs")
        self._system = System(folder, destination=self._pacs.destination(confirm=confirm))
        self._disk = Disk(self._system.data, size_mb=disk_mb)
        self.book = Book()
        self._errands: queue.Queue[Errand] = queue.Queue()
        self._connections = Connections()
        self._senders = [
            Sender(
                number,
                port=self._system.port,
                errands=self._errands,
                book=self.book,
                connections=self._connections,
                seed=f"{seed}/{title}/{number}",
                pace_s=load.pace_s,
            )
            for number in range(load.senders)
        ]
        self._studies = 0
        self._pacs_bad_since: float | None = None
        self.outcome = Outcome(title, seed)

    def run(self) -> Outcome:
        """All rounds, the settling, the reckoning. Ends every process that it started."""
        if self._confirm == "no":
            self.outcome.left_out.append("a PACS that lies (needs read-back or commitment)")
        if self._disk.why_not:
            self.outcome.left_out.append(f"full disk ({self._disk.why_not})")
        began = time.monotonic()
        try:
            self._pacs.start(peer_port=self._system.port)
            first = self._system.start()
            self._say(f"{self.outcome.title}: up after {first:.1f} s; {len(self._rounds)} rounds")
            for sender in self._senders:
                sender.start()
            for number, one in enumerate(self._rounds, start=1):
                if time.monotonic() - began > self._seconds:
                    self._say(f"time is over after {number - 1} rounds")
                    break
                self._say(f"round {number}: {one}")
                self._round(one)
                self.outcome.rounds += 1
            self._behave("ok")
            self._settle()
            self.outcome.seconds = time.monotonic() - began
            self._reckon()
        except RuntimeError as error:
            self.outcome.seconds = time.monotonic() - began
            self.outcome.defects.append(str(error))
        finally:
            for sender in self._senders:
                sender.end()
            self._system.stop() if self._system.processes() else self._system.kill_tree()
            self._pacs.stop()
            self._disk.unmount()
        return self.outcome

    # -- a round

    def _round(self, one: Round) -> None:
        self._behave(one.pacs)
        self.book.begin_sending()
        studies = [
            a_study(self._studies + n, self._rng, prefix=self._prefix) for n in range(self._load.studies_per_round)
        ]
        self._studies += len(studies)
        self.book.plan(studies)
        for errand in errands_for(studies, self._rng, late_after_s=LATE_AFTER_S):
            self._errands.put(errand)
        for kind, what, wait_s in one.steps:
            time.sleep(wait_s)
            if kind == "kill":
                self._kill(what)
            else:
                self._nuisance(what)
        time.sleep(one.tail_s)
        self._check_senders()
        self._system.check()

    def _kill(self, victim: str) -> None:
        died = self._system.kill(victim, self._rng)
        if not died:
            return
        self.outcome.kills[victim] += 1
        began = time.monotonic()
        if victim in {"main", "tree"}:
            time.sleep(self._rng.uniform(0.0, 0.3))
            self._system.start()
        if victim in {"main", "tree", "listener"}:
            self._system.wait_until_it_answers()
            back_s = time.monotonic() - began
            self.outcome.restarts_s.append(back_s)
            self.outcome.outage("listener", back_s)

    def _nuisance(self, what: str) -> None:
        match what:
            case "cut":
                self.outcome.nuisances["connections cut"] += _within(2.0, lambda: self._connections.cut(self._rng))
            case "flush":
                self.outcome.nuisances["broker flushed"] += _within(10.0, self._system.flush_broker)
            case "disk-reserve" | "disk-brim" if not self._disk.why_not:
                began = time.monotonic()
                self._disk.fill(leave_bytes=0 if what == "disk-brim" else 8 << 20)
                time.sleep(self._rng.uniform(1.0, 4.0))
                self._disk.free()
                self.outcome.nuisances[what] += 1
                self.outcome.outage("disk", time.monotonic() - began)
            case _:
                return

    def _behave(self, behaviour: str) -> None:
        now = time.monotonic()
        if behaviour in {"ok", "slow"}:
            if self._pacs_bad_since is not None:
                self.outcome.outage("PACS", now - self._pacs_bad_since)
                self._pacs_bad_since = None
        elif self._pacs_bad_since is None:
            self._pacs_bad_since = now
        if behaviour != "ok":
            self.outcome.misbehaviours[behaviour] += 1
        self._pacs.behave(behaviour)

    # -- the end

    def _settle(self) -> None:
        began = time.monotonic()
        while self._errands.unfinished_tasks and time.monotonic() - began < self._settle_s:
            self._check_senders()
            time.sleep(0.2)
        if self._errands.unfinished_tasks:
            raise RuntimeError(f"senders still wait for answers after {self._settle_s:.0f} s:\n{self._system.tail()}")
        quiet_since = time.monotonic()
        while time.monotonic() - began < self._settle_s:
            if unfinished(self._system.data):
                quiet_since = time.monotonic()
            elif time.monotonic() - quiet_since > 2.0:
                break
            time.sleep(0.3)
        self.outcome.settled_s = time.monotonic() - began

    def _reckon(self) -> None:
        outcome = self.outcome
        outcome.answers, outcome.repeats = self.book.answers, self.book.repeats
        outcome.findings = reconcile(self.book, data=self._system.data, pacs=self._pacs.folder)
        if not outcome.findings.complete_studies:
            outcome.defects.append("no study was acknowledged completely: nothing was proven")

    def _check_senders(self) -> None:
        for sender in self._senders:
            if sender.defect is not None:
                raise RuntimeError(f"a sender of the test broke: {sender.defect!r}")


def run(
    *,
    seed: int,
    rounds: int,
    calm_rounds: int,
    load: Load,
    settle_s: float,
    say: Callable[[str], None],
    confirm: str = "commitment",
    seconds: float = float("inf"),
    folder: Path | None = None,
) -> list[Outcome]:
    """The control without any fault first, then the chaos. What failed keeps its folder."""
    outcomes = []
    plans = [("control", [CALM] * calm_rounds), ("chaos", drawn(random.Random(seed), rounds, lies=confirm != "no"))]
    for title, plan in plans:
        if not plan:
            continue
        place = Path(tempfile.mkdtemp(prefix=f"overread-{title}-", dir=folder))
        outcome = Driver(
            place,
            title=title,
            seed=seed,
            rounds=plan,
            load=load,
            confirm=confirm,
            settle_s=settle_s,
            say=say,
            seconds=seconds,
        ).run()
        say(outcome.table())
        outcomes.append(outcome)
        if not outcome.passed:
            say(f"what is left of it: {place}")
            break
        shutil.rmtree(place, ignore_errors=True)
    return outcomes


def _within(seconds: float, what: Callable[[], int]) -> int:
    """Try until it has happened (the broker may just be coming back); returns how often, 0 when it did not in time."""
    ends = time.monotonic() + seconds
    while not (count := what()) and time.monotonic() < ends:
        time.sleep(0.05)
    return count


def _listed(counter: Counter[str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(counter.items())) or "none"
