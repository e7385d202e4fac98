"""A listener whose parent reads nothing of what it says goes on receiving."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from tests.integration.intake.raw_peer import CT, RawPeer, c_store
from tests.unit.intake.corpus import SOP, a_ct, encode


def test_c_store_is_answered_while_nobody_reads_the_log(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    try:
        while True:
            os.write(writing, bytes(4096))
    except BlockingIOError:
        os.set_blocking(writing, True)  # not one byte fits any more, and the child has it as any other pipe
    command = [sys.executable, "-m", "tests.integration.intake.serve", "--spool", str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=writing, text=True) as child:
        try:
            assert child.stdout is not None
            port = int(child.stdout.readline().strip(")\n ").rpartition(",")[2])
            with RawPeer(port) as peer:
                peer.open()
                for number in range(1, 9):
                    uid = f"{SOP}.{number}"
                    peer.message(c_store(CT, uid), encode(a_ct(sop=uid)))
                    assert peer.status() == 0x0000
                    peer.message(c_store(CT, uid), b"nonsense")
                    assert peer.status() == 0xC000
                peer.release()
        finally:
            child.send_signal(signal.SIGTERM)
            assert child.wait(30) == 0
    os.close(writing)
    os.close(reading)
