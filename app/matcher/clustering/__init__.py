"""Clusters of unknown faces in memory: faces that probably show one person, though nobody has named it.

- `records`: what goes in and comes out
- `online`: clusters by average linkage, face by face
- `batches`: many faces at once, and moving those that are misplaced
- `cluster`: one cluster, in few bytes
- `means`: the clusters' mean embeddings, and the scan that finds the ones near a face
- `constraints`: what people said: these two faces show one person, or two
- `splitting`: proposes how to split one cluster
- `threshold`: the linkage from which faces belong together, from a calibration

Decision 0028 has the reasons; `benchmarks/clusters.py` measures accuracy and speed.
"""
