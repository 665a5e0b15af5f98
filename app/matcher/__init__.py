"""Similarities, searches and decisions; knows neither images nor models.

In the order in which a search passes through them:

    tenant_search.py        TenantSearch: one method per kind of search; the starting point
    gallery_cache.py        galleries in this process's memory: whole (cached_gallery.py) or as codes (cached_codes.py)
    open_gallery.py         OpenGallery: a gallery in one database snapshot; filters and describes what is found
    ranking.py              Ranker: chooses a strategy, and repeats short or tied results with more templates
    strategy.py, hnsw/      the strategies and their limits
    pgvector_search.py      runs the SQL of statements.py
    subject_similarity.py   the common embedding of a subject's templates
    thresholds.py           decisions and false-match rates; impostors.py measures the calibrations behind them

Apart from searches, clustering/ groups faces that no registered person matches.
"""
