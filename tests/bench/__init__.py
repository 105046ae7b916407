"""Benchmarks: figures for this machine, now; keep ratios, not times."""
