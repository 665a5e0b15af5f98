"""Contain the parts that belong to the HTTP server: uvicorn's protocol, preloaded workers, middleware and admission."""
