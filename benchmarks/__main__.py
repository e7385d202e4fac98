"""``make bench``: every benchmark against its named peer, in this run. Figures are ratios; machines are noisy."""

from __future__ import annotations

import json
import sys

from benchmarks import listener, pipeline, reading

if __name__ == "__main__":
    figures = {
        "listener": listener.measure(senders=8, instances=100),
        "pipeline": pipeline.measure(repeat=3),
        "reading": reading.measure(frames=2000, slices=600, repeat=7),
    }
    sys.stdout.write(json.dumps(figures, indent=1) + "\n")
