"""Measure and prove videos."""
