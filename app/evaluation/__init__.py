"""How right is it, on one's own photos: verification, identification, events; in process or against a server.

    datasets.py  manifests.py    which photos, of whom: LFW pairs, a folder a person, lists that people write
    systems/                     what is evaluated: the pipeline in this process, Vultus's API, any Rekognition
    metrics.py  every_pair.py    error rates and their intervals, from similarities alone
    verification.py  groups.py  identification.py  event.py     the kinds of run
    answers.py                   what was asked already, so that a run can go on
    failures.py  charts.py  report.py      what went wrong; JSON, and one HTML file that needs nothing else

Method: NIST FRTE (FNMR at fixed FMR; FNIR at fixed FPIR, with the gallery's size). Intervals come from drawing people,
not pairs, anew: pairs of one person are not independent.
"""
