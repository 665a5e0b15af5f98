"""Subjects and their stored faces: registration, assignment, consent, export and import."""
