"""Benchmarks of evaluation and sweeps: counted and timed in one run, the same answers on both sides."""
