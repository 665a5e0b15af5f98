"""Measure the console in a real Chromium."""
