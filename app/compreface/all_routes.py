"""List the routers of the protocol."""

from app.compreface import faces, recognition, services, subjects

ROUTERS = (subjects.router, faces.router, recognition.router, services.router)
