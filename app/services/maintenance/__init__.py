"""Maintain stored data, on behalf of an operator or in a background task."""
