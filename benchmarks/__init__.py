"""Benchmarks that anybody can run; every figure in PERFORMANCE.md comes from a script here."""
