"""The console's pages, each a route and a template."""
