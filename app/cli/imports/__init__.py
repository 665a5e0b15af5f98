"""`vultus import SOURCE`: bring people and their photos from elsewhere to a server.

Every command is an ordinary client of the server: it runs on any machine and has the same limits and audit trail.

photos.py      photos through the Rekognition protocol
folder.py  csv_file.py  rekognition.py     photos of a directory or a manifest
compreface.py  compreface_rest.py  compreface_database.py     a service of CompreFace
vultus.py      subjects of another Vultus, or their exported documents
options.py     the options that these commands share
people.py      what an import brings: people and photos
target.py      the server that receives them
run.py  ledger.py     the work, which goes on after an interruption
report.py      what was brought, and what was left out and why
"""

import typer

from app.cli.imports import compreface, csv_file, folder, photos, rekognition, vultus

cli = typer.Typer(help="Bring people and photos from elsewhere.", no_args_is_help=True)

cli.command("photos")(photos.import_photos)
cli.command("folder")(folder.import_folder)
cli.command("csv")(csv_file.import_csv)
cli.command("rekognition")(rekognition.import_rekognition)
cli.command("compreface")(compreface.import_compreface)
cli.command("vultus")(vultus.import_vultus)
