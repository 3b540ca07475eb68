"""State with declared fields: typed, versioned, observed, and kept in any store."""

from ._changes import Change
from ._hydration import HydrationError
from ._types.annotations import Keep
from .binding import Binding
from .codecs import Codec, JsonCodec, PickleCodec
from .fields import Counter, Field, Transient, field, fields_of
from .history import History
from .operations import Operation, RefusedOperation, apply_operations
from .reactive import computed, effect, query
from .state import State
from .strictness import set_strict, strict_mode
from .transactions import Transaction, transaction

__all__ = [
    "Binding",
    "Change",
    "Codec",
    "Counter",
    "Field",
    "History",
    "HydrationError",
    "JsonCodec",
    "Keep",
    "Operation",
    "PickleCodec",
    "RefusedOperation",
    "State",
    "Transaction",
    "Transient",
    "apply_operations",
    "computed",
    "effect",
    "field",
    "fields_of",
    "query",
    "set_strict",
    "strict_mode",
    "transaction",
]
