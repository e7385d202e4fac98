"""``make bench``: every benchmark against its named peer, in this run. Figures are ratios; machines are noisy."""

from __future__ import annotations

from benchmarks import pipeline

if __name__ == "__main__":
    pipeline.main()
