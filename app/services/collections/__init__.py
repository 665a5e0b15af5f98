"""Manage collections, their recognizers, calibrations and decision policies, and look them up for searches."""
