"""Read bodies with embeddings, which must be those of the recognizer that the collection uses."""

from collections.abc import Sequence

import numpy as np

from app.compreface import MAX_EMBEDDINGS
from app.compreface.call import Call
from app.domain.faces import EMBEDDING_SIZE, Embedding
from app.errors import InvalidParameter
from app.services.recognition.search import unit_vector

_FIELD = "embeddings"
_MAX_NUMBER = 1e6


async def read_embeddings(call: Call) -> tuple[list[list[float]], list[Embedding]]:
    """Return the embeddings as they were sent, and with unit length; raises `InvalidParameter`."""
    sent = (await call.body()).get(_FIELD)
    if not isinstance(sent, list) or not 1 <= len(sent) <= MAX_EMBEDDINGS:
        raise InvalidParameter(
            f"{_FIELD}: must be an array of 1 to {MAX_EMBEDDINGS} embeddings, each an array of {EMBEDDING_SIZE} "
            f"numbers.",
            field=_FIELD,
        )
    for index, one in enumerate(sent):
        _check(index, one)
    return sent, [unit_vector(np.array(one, dtype=np.float32), f"{_FIELD}[{index}]") for index, one in enumerate(sent)]


def _check(index: int, one: object) -> None:
    if not isinstance(one, list) or len(one) != EMBEDDING_SIZE or not _are_numbers(one):
        raise InvalidParameter(
            f"{_FIELD}[{index}]: must be an array of {EMBEDDING_SIZE} numbers between -{_MAX_NUMBER:g} and "
            f"{_MAX_NUMBER:g}, from the plugin calculator of this service. Embeddings of other networks are not "
            f"comparable.",
            field=_FIELD,
        )


def _are_numbers(values: Sequence[object]) -> bool:
    return all(
        isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= _MAX_NUMBER for value in values
    )
