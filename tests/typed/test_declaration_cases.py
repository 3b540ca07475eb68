"""Names, bases, slots and properties that the class of a state may have.

The emitted tests show the common ones.
"""

import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

EMITTED = "test_fields"


def test_the_catalogue_of_a_class_is_read_only(state: Any, emitted: Any) -> None:
    for cls in (state.State, emitted.Document):
        catalogue: Any = state.fields_of(cls)
        with pytest.raises(TypeError, match="does not support item assignment"):
            catalogue["title"] = None


def test_a_field_may_be_called_self_or_cls(state: Any) -> None:
    fields: dict[str, Any] = {"self": str, "cls": str}
    odd: Any = type("Odd", (state.State,), {"__annotations__": fields})
    values = {"self": "a", "cls": "b"}
    made = odd(**values)
    assert (made.self, made.cls) == ("a", "b")


def test_a_class_has_the_fields_of_all_its_bases(emitted: Any) -> None:
    class Entry(emitted.Leaf, emitted.Report):
        pass

    entry = Entry(title="a", colour="red")
    assert (entry.title, entry.colour, entry.year, entry.zoom) == ("a", "red", 2026, 1)
    assert Entry.hydrate(entry.drain()) == entry


def test_the_first_base_in_the_method_resolution_order_gives_the_default(emitted: Any) -> None:
    class Left(emitted.Leaf):
        size: int = 1

    class Right(emitted.Leaf):
        colour = "red"

    class Both(Left, Right):
        pass

    assert (Both().colour, Both().size) == ("red", 1)


def test_a_type_parameter_without_a_type_accepts_any_json_value(emitted: Any) -> None:
    assert emitted.Box(item=["text", 1]).item == ["text", 1]
    with pytest.raises(TypeError, match=re.escape("Box.item: JSON does not have it")):
        emitted.Box(item=object())


def test_a_class_may_have_slots(emitted: Any) -> None:
    point = emitted.Point(x=1, y=2)
    assert not hasattr(point, "__dict__")
    assert emitted.Point.hydrate(point.drain()) == point


def test_a_state_may_have_properties(emitted: Any) -> None:
    class Document(emitted.Document):
        @property
        def shouted(self) -> str:
            return str(self.title).upper()

        @shouted.setter
        def shouted(self, text: str) -> None:
            self.title = text.lower()

    document = Document(title="draft")
    document.shouted = "REPORT"
    assert (document.title, document.shouted) == ("report", "REPORT")


def test_the_strict_mode_of_a_context_does_not_affect_another_thread(
    state: Any, emitted: Any
) -> None:
    anything: Any = emitted.Leaf
    with state.strict_mode(False), ThreadPoolExecutor(1) as thread:
        assert anything(colour=1).colour == 1
        with pytest.raises(TypeError):
            thread.submit(anything, colour=1).result()
    with pytest.raises(TypeError):
        anything(colour=1)


def test_a_field_may_have_another_name_with_the_same_beginning(state: Any) -> None:
    class Mood(state.State):
        _state_of_mind: str = "calm"

    assert Mood().drain()["values"] == {"_state_of_mind": "calm"}


def test_a_field_may_have_the_name_of_a_method_of_its_metaclass(state: Any) -> None:
    class Device(state.State):
        register: int = 0

    assert Device(register=1).register == 1
