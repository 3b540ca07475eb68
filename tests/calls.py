"""The calls that a function makes: a clock without noise."""

import sys
from collections.abc import Callable


def count_calls(function: Callable[[], object]) -> int:
    """Return how many calls a function makes, those into C included."""
    calls = 0

    def count(_frame: object, event: str, _argument: object) -> None:
        nonlocal calls
        calls += event in {"call", "c_call"}

    sys.setprofile(count)
    try:
        function()
    finally:
        sys.setprofile(None)
    return calls
