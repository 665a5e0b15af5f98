"""Sightings: whom the faces of albums show, decided at a stated rate by the machine, and for good by people."""
