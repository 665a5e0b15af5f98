"""From image bytes to faces with embeddings; knows no database and no web framework."""
