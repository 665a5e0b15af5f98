"""Photos on their way in: fetched from object stores, read into faces."""
