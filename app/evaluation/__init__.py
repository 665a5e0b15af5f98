"""How right is it, on one's own photos: verification, identification, events; in process or against a server.

    datasets.py        which photos, of whom: LFW pairs, a folder a person, an event's manifest, groups
    systems.py         what is evaluated: the pipeline in this process, Vultus's API, any Rekognition
    metrics.py         error rates and their intervals, from similarities alone
    verification.py  identification.py  event.py     the three kinds of run
    answers.py         what was asked already, so that a run can go on
    charts.py  report.py      JSON, and one HTML file that needs nothing else

Method: NIST FRTE (FNMR at fixed FMR; FNIR at fixed FPIR, with the gallery's size). Intervals come from drawing people,
not pairs, anew: pairs of one person are not independent.
"""
