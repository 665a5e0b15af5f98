"""What is evaluated.

protocol.py     what every one of them does
in_process.py   the pipeline of this installation, and an exact search
vultus.py       a running Vultus, over its public API
rekognition.py  anything that speaks Rekognition
photos.py       the photo files that they are asked about
"""
