"""State with declared fields: typed, versioned, observed, and kept in any store."""

from ._changes import Change
from ._hydration import HydrationError
from .binding import Binding
from .codecs import Codec, JsonCodec, PickleCodec
from .fields import Field, Transient, field, fields_of
from .reactive import computed, effect, query
from .state import State
from .strictness import set_strict, strict_mode

__all__ = [
    "Binding",
    "Change",
    "Codec",
    "Field",
    "HydrationError",
    "JsonCodec",
    "PickleCodec",
    "State",
    "Transient",
    "computed",
    "effect",
    "field",
    "fields_of",
    "query",
    "set_strict",
    "strict_mode",
]
