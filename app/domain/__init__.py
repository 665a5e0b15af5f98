"""Frozen value types that the layers share; they compute properties of themselves and nothing else."""
