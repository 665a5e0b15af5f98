"""The HTTP server's own parts: the uvicorn protocol, preloaded workers, middleware, admission, problem+json."""
