"""Collections: their recognizers, calibrations, decision policies, and the lookup of what is searched."""
