"""Generate a model pack that detects and recognizes only the portraits drawn here.

With it, tests, CI and a first run need neither a download nor licensed weights, and run the same code as with a real
pack. It is useless on photographs.
"""
