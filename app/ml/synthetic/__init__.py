"""A model pack the project makes itself: it finds and tells apart only the portraits drawn here.

It exists so that tests, CI and a first run work with neither a network nor licensed weights, through the
very same insightface and onnxruntime code as a real pack. It is of no use on photographs.
"""
