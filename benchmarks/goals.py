"""State whether measured figures reach their goals, in the form of the list `goals` of the result files."""

from typing import Any


def at_most(name: str, goal: float, measured: float, unit: str) -> dict[str, Any]:
    """Return the entry of a figure that must not exceed its goal."""
    return {"name": name, "goal": goal, "measured": measured, "unit": unit, "held": measured <= goal}


def at_least(name: str, goal: float, measured: float, unit: str) -> dict[str, Any]:
    """Return the entry of a figure that must reach its goal."""
    return {"name": name, "goal": goal, "measured": measured, "unit": unit, "held": measured >= goal}
