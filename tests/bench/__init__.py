"""Benchmarks: `make bench`. Each figure is a ratio against a baseline of the same run, or what one run measured."""
