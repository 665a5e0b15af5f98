"""What tests look at inside the inference pool."""

from app.ml.executor import InferenceExecutor


def under_way(executor: InferenceExecutor) -> int:
    """Calls running or waiting."""
    return executor._running + executor._depth
