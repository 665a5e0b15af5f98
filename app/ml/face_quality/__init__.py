"""The quality score of a face: a prediction of whether comparing it can be trusted.

Bad photos of different people resemble each other more than good ones, so their similarity alone cannot be trusted. The
score is a unified quality score in the sense of ISO/IEC 29794-1: 0 to 100, higher for faces that compare reliably.

features.py       what is measured on an aligned crop
model.py          measurements, detection score and embedding -> score; the bar below which a face is not trusted
known.py          finds a recognizer's model: in its pack, or among those in models/
degradation.py    random degradations of a photo: what a model learns to recognize
fitting.py        fits a model to photos of many people, for `vultus calibrate`
models/           models of known recognizers
"""
