"""The states of a page for its client functions, which run in the browser.

The browser loads this file. A name is a view of an object in JavaScript, which does all reads and
writes through `bridge`: there is one copy of a state, not one for each language.
"""

import asyncio
import inspect
import json
import linecache
from collections.abc import Callable, Iterable, Iterator, MutableMapping, MutableSequence
from typing import Any, overload

bridge: Any = None


def view(value: Any) -> Any:
    """Return a value of JavaScript for Python."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    return ListView(value) if bridge.isList(value) else RecordView(value)


def to_json(value: Any) -> str:
    """Return a value as JSON, with the values of the views in it."""
    return json.dumps(value, default=_copy, allow_nan=False)


def _copy(value: Any) -> Any:
    """Return the value of a view as the server writes it, where members of unions have a tag."""
    if isinstance(value, ListView | RecordView):
        return json.loads(bridge.copy(_target(value)))
    raise TypeError(f"{value!r} cannot be part of a state: expected a JSON value")


def _plain(of: "ListView | RecordView") -> Any:
    return json.loads(bridge.toJson(_target(of)))


def _target(of: "ListView | RecordView") -> Any:
    return object.__getattribute__(of, "_of")


class RecordView(MutableMapping[str, Any]):
    """An object with its fields as attributes and as items; a field hides a method of dict."""

    def __init__(self, of: Any) -> None:
        object.__setattr__(self, "_of", of)

    def __getattribute__(self, name: str) -> Any:
        of = object.__getattribute__(self, "_of")
        if not name.startswith("__") and bridge.has(of, name):
            return view(bridge.get(of, name))
        return object.__getattribute__(self, name)

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"there is no field {name!r}; there are: {', '.join(self)}")

    def __setattr__(self, name: str, value: Any) -> None:
        of = _target(self)
        # `room.messages += […]` assigns the list that it has extended.
        if isinstance(value, ListView | RecordView) and _target(value) == bridge.get(of, name):
            return
        bridge.set(of, name, to_json(value))

    def __delattr__(self, name: str) -> None:
        getattr(self, name)
        bridge.delete(_target(self), name)

    def __getitem__(self, key: str) -> Any:
        if not bridge.has(_target(self), key):
            raise KeyError(key)
        return view(bridge.get(_target(self), key))

    __setitem__ = __setattr__

    def __delitem__(self, key: str) -> None:
        if not bridge.has(_target(self), key):
            raise KeyError(key)
        bridge.delete(_target(self), key)

    def __iter__(self) -> Iterator[str]:
        return iter(_plain(self))

    def __len__(self) -> int:
        return len(_plain(self))

    def __eq__(self, other: object) -> bool:
        other = _plain(other) if isinstance(other, RecordView) else other
        return bool(_plain(self) == other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return repr(_plain(self))


class ListView(MutableSequence[Any]):
    """A list."""

    def __init__(self, of: Any) -> None:
        self._of = of

    def _place(self, index: int) -> int:
        place = index + len(self) if index < 0 else index
        if not 0 <= place < len(self):
            raise IndexError(f"index {index} of a list of {len(self)}")
        return place

    def _span(self, key: slice) -> tuple[int, int]:
        start, stop, step = key.indices(len(self))
        if step != 1:
            raise ValueError("a slice that is written must have the step 1")
        return start, max(0, stop - start)

    def __len__(self) -> int:
        return int(bridge.get(self._of, "length"))

    @overload
    def __getitem__(self, index: int) -> Any: ...
    @overload
    def __getitem__(self, index: slice) -> list[Any]: ...
    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return [self[place] for place in range(*index.indices(len(self)))]
        return view(bridge.get(self._of, self._place(index)))

    def __setitem__(self, index: int | slice, value: Any) -> None:
        if isinstance(index, slice):
            bridge.splice(self._of, *self._span(index), to_json(list(value)))
        else:
            bridge.set(self._of, self._place(index), to_json(value))

    def __delitem__(self, index: int | slice) -> None:
        span = self._span(index) if isinstance(index, slice) else (self._place(index), 1)
        bridge.splice(self._of, *span, "[]")

    def insert(self, index: int, value: Any) -> None:
        """Insert a value before an index."""
        self[index:index] = [value]

    def append(self, value: Any) -> None:
        """Add a value at the end."""
        self.extend([value])

    def extend(self, values: Iterable[Any]) -> None:
        """Add values at the end."""
        self[len(self) :] = values

    def clear(self) -> None:
        """Remove all values."""
        del self[:]

    def reverse(self) -> None:
        """Turn the order round."""
        bridge.reverse(self._of)

    def sort(self, *, key: Callable[[Any], Any] | None = None, reverse: bool = False) -> None:
        """Sort the values, as a list does."""

        def compare(one: Any, other: Any) -> int:
            first, second = (key(view(value)) if key else view(value) for value in (one, other))
            order = int(first > second) - int(first < second)
            return -order if reverse else order

        bridge.sort(self._of, compare)

    def copy(self) -> list[Any]:
        """Return a list of the same values."""
        return list(self)

    def __eq__(self, other: object) -> bool:
        other = _plain(other) if isinstance(other, ListView) else other
        return bool(_plain(self) == other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return repr(_plain(self))


def start(js: Any, states: Any, sources: str) -> Callable[[str, Any, Any], None]:
    """Define the client functions, and return a function that calls them by name.

    Args:
        js: The functions of JavaScript that read and write states.
        states: The states by name.
        sources: The sources of the functions and of the classes that they use, as JSON.
    """
    global bridge
    bridge = js
    record = RecordView(states)
    names: dict[str, Any] = {"__name__": "client", **{name: record[name] for name in record}}
    for name, source in json.loads(sources).items():
        file = f"<{name}>"
        linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
        exec(compile(source, file, "exec"), names)  # noqa: S102 - it comes with the page

    def call(name: str, event: Any, items: Any) -> None:
        function = names[name]
        given = (event, view(items))[: len(inspect.signature(function).parameters)]
        result = function(*given)
        if inspect.iscoroutine(result):
            tasks.add(task := asyncio.ensure_future(result))
            task.add_done_callback(tasks.discard)

    tasks = set[asyncio.Future[Any]]()  # the event loop keeps weak references only
    return call
