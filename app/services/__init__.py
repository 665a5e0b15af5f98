"""Use cases, one a method; neither HTTP nor SQL. Inference comes before the first query of every one of them."""
