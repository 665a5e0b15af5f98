"""Measures accuracy on one's own photos: verification, identification and events; in process or against a server.

    datasets.py  manifests.py    which photos show whom: LFW pairs, one folder per person, CSV files
    systems/                     the systems that can be evaluated: this pipeline, a Vultus server, any Rekognition
    metrics.py  all_pairs.py     error rates and their confidence intervals, from similarities alone
    verification.py  groups.py  identification.py  event.py     the kinds of run
    answers.py                   results so far, so that an interrupted run can resume
    failures.py  charts.py  report.py      the worst errors; a JSON report and a self-contained HTML page

Method: NIST FRTE (FNMR at fixed FMR; FNIR at fixed FPIR, with the gallery's size). Confidence intervals resample
people, not pairs, because pairs that share a person are not independent.
"""
