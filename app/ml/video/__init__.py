"""Decode videos in a process of their own, which can neither connect nor open files."""
