"""What routes depend on: `callers.py` says who calls and whether they may, `services.py` which services answer them.

All dependencies are `async def`, also those that wait for nothing: FastAPI runs plain functions in a thread, which
costs more than the function. They form a shallow tree, since FastAPI walks the whole tree for every request.
"""
