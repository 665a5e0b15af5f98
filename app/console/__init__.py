"""The console: pages for people, rendered on the server.

Pages read by the same services as the REST API. What a page changes, its scripts change by the REST API, with the
session's cookie; so permissions, limits and errors are the API's.
"""

PREFIX = "/console"
