"""Define the dependencies of routes: `callers.py` authenticates and authorizes, `services.py` provides the services.

All dependencies are `async def`, even without an `await`: FastAPI runs plain functions in a thread, which costs more
than the function itself. The tree of dependencies is shallow because FastAPI walks all of it for every request.
"""
