"""Group the settings for the reference and for `.env.example`."""

GROUPS = {
    "environment": "General",
    "secret_key": "Secrets",
    "database_url": "Database",
    "model_pack": "Models",
    "providers": "Inference",
    "inference_url": "Inference on another host",
    "search_concurrency": "Search",
    "max_image_bytes": "Image limits",
    "detection_threshold": "Face quality",
    "erasure_journal": "Privacy",
    "signup_enabled": "Access and limits",
    "header_timeout_s": "Timeouts",
    "album_worker": "Albums",
    "event_days": "Events",
    "console": "Console",
    "smtp_url": "Mail",
    "log_level": "Logging",
    "otlp_endpoint": "Traces",
}
"""The titles of the groups of settings, by the first field of each group."""
