"""Define the request and response bodies of the REST API. Only entry points import them."""
