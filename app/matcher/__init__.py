"""Similarities, searches and decisions; knows neither images nor models."""
