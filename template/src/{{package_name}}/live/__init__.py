"""States that browsers share with the service and with each other, and states of one browser."""

from .conversion import Fields
from .definitions import replace
from .door import Authorize, anyone
from .limits import Limits
from .live import Allow, Live
from .marks import Counter, ServerOnly
from .presence import Visitor

__all__ = [
    "Allow",
    "Authorize",
    "Counter",
    "Fields",
    "Limits",
    "Live",
    "ServerOnly",
    "Visitor",
    "anyone",
    "replace",
]
