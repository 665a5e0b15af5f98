"""Measurements that anyone can run; every figure in PERFORMANCE.md comes from a script here."""
