"""Measure albums: uploads, workers, waiting, searches, memory. `python -m benchmarks.albums --help` lists the parts."""
