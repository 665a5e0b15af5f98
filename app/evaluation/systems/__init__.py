"""The systems that can be evaluated.

protocol.py     the interface of a system
in_process.py   the pipeline of this installation, with exact search
vultus.py       a running Vultus, over its public API
rekognition.py  any server that speaks Rekognition
photos.py       reads and identifies the photo files
"""
