"""`python -m benchmarks`: the acceptance figures."""

from __future__ import annotations

from benchmarks.acceptance import main

main()
