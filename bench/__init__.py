"""Benchmarks: each figure is a ratio beside the reference it is measured against, in one run on one machine."""
