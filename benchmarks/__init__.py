"""Benchmarks: ratios against bare loops of the same bytes, measured side by side in one run."""
