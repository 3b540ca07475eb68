"""Every method of a container in a state works as on a plain one, and notifies its change."""

import copy
import operator
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

Call = Callable[[Any], object]

# The operators that work in place have no types.
in_place: Any = operator

# For each method, its calls, and the path of the change in the container; None: no change.
LIST: dict[str, tuple[Call, tuple[object, ...] | None]] = {
    "append": (lambda it: it.append(4), (3,)),
    "append without a value": (lambda it: it.append(), None),
    "extend": (lambda it: it.extend((4, 5)), ()),
    "extend with itself": (lambda it: it.extend(it), ()),
    "extend with nothing": (lambda it: it.extend([]), None),
    "extend with a number": (lambda it: it.extend(4), None),
    "insert": (lambda it: it.insert(-1, 4), ()),
    "insert beyond the end": (lambda it: it.insert(100, 4), ()),
    "insert at a name": (lambda it: it.insert("a", 4), None),
    "set": (lambda it: operator.setitem(it, -1, 4), (2,)),
    "set the same": (lambda it: operator.setitem(it, 0, it[0]), None),
    "set an equal": (lambda it: operator.setitem(it, 0, int("300")), None),
    "set beyond the end": (lambda it: operator.setitem(it, 3, 4), None),
    "set at a name": (lambda it: operator.setitem(it, "a", 4), None),
    "set a slice": (lambda it: operator.setitem(it, slice(0, 2), (4, 5, 6)), ()),
    "set a slice to nothing": (lambda it: operator.setitem(it, slice(1, 1), []), None),
    "set steps": (lambda it: operator.setitem(it, slice(None, None, 2), [4, 5]), ()),
    "set steps to too much": (lambda it: operator.setitem(it, slice(None, None, 2), [4]), None),
    "del": (lambda it: operator.delitem(it, 0), ()),
    "del beyond the end": (lambda it: operator.delitem(it, 3), None),
    "del a slice": (lambda it: operator.delitem(it, slice(1, None)), ()),
    "del steps": (lambda it: operator.delitem(it, slice(None, None, 2)), ()),
    "del an empty slice": (lambda it: operator.delitem(it, slice(3, 9)), None),
    "+=": (lambda it: in_place.iadd(it, (4,)), ()),
    "+= a number": (lambda it: in_place.iadd(it, 4), None),
    "*=": (lambda it: in_place.imul(it, 2), ()),
    "*= 1": (lambda it: in_place.imul(it, 1), None),
    "*= 0": (lambda it: in_place.imul(it, 0), ()),
    "*= text": (lambda it: in_place.imul(it, "a"), None),
    "pop": (lambda it: it.pop(), ()),
    "pop the first": (lambda it: it.pop(0), ()),
    "pop beyond the end": (lambda it: it.pop(3), None),
    "remove": (lambda it: it.remove(1), ()),
    "remove what is missing": (lambda it: it.remove(4), None),
    "clear": (lambda it: it.clear(), ()),
    "clear twice": (lambda it: (it.clear(), it.clear()), ()),
    "sort": (lambda it: it.sort(), ()),
    "sort by a key": (lambda it: it.sort(key=operator.neg, reverse=False), ()),
    "sort by what fails": (lambda it: it.sort(key=range(9).index), None),
    "sort what is sorted": (lambda it: it.sort(key=bool), None),
    "reverse": (lambda it: it.reverse(), ()),
    "+": (lambda it: it + it, None),
    "copy": (lambda it: it.copy(), None),
}
DICT: dict[str, tuple[Call, tuple[object, ...] | None]] = {
    "set": (lambda it: operator.setitem(it, "c", 3), ("c",)),
    "set again": (lambda it: operator.setitem(it, "a", 3), ("a",)),
    "set the same": (lambda it: operator.setitem(it, "a", it["a"]), None),
    "set an equal": (lambda it: operator.setitem(it, "a", int("300")), None),
    "set at a list": (lambda it: operator.setitem(it, [], 3), None),
    "del": (lambda it: operator.delitem(it, "a"), ("a",)),
    "del what is missing": (lambda it: operator.delitem(it, "c"), None),
    "setdefault": (lambda it: it.setdefault("c", 3), ("c",)),
    "setdefault of what is there": (lambda it: it.setdefault("a", 3), None),
    "update": (lambda it: it.update({"c": 3}), ("c",)),
    "update with pairs": (lambda it: it.update([("c", 3)]), ("c",)),
    "update with names": (lambda it: it.update(self=3), ("self",)),
    "update with nothing": (lambda it: it.update(), None),
    "update with the same": (lambda it: it.update(it), None),
    "update with a number": (lambda it: it.update(3), None),
    "|=": (lambda it: in_place.ior(it, {"a": 3}), ("a",)),
    "|= a number": (lambda it: in_place.ior(it, 3), None),
    "pop": (lambda it: it.pop("a"), ("a",)),
    "pop or a default": (lambda it: it.pop("a", 3), ("a",)),
    "pop a default": (lambda it: it.pop("c", 3), None),
    "pop what is missing": (lambda it: it.pop("c"), None),
    "popitem": (lambda it: it.popitem(), ("b",)),
    "popitem of nothing": (lambda it: (it.clear(), it.popitem()), ()),
    "clear": (lambda it: it.clear(), ()),
    "clear twice": (lambda it: (it.clear(), it.clear()), ()),
    "|": (lambda it: it | {"c": 3}, None),
    "copy": (lambda it: it.copy(), None),
}
SET: dict[str, tuple[Call, tuple[object, ...] | None]] = {
    "add": (lambda it: it.add(3), ()),
    "add what is there": (lambda it: it.add(1), None),
    "add a list": (lambda it: it.add([]), None),
    "discard": (lambda it: it.discard(1), ()),
    "discard what is missing": (lambda it: it.discard(3), None),
    "remove": (lambda it: it.remove(1), ()),
    "remove what is missing": (lambda it: it.remove(3), None),
    "pop": (lambda it: it.pop(), ()),
    "pop from nothing": (lambda it: (it.clear(), it.pop()), ()),
    "clear": (lambda it: it.clear(), ()),
    "clear twice": (lambda it: (it.clear(), it.clear()), ()),
    "update": (lambda it: it.update([2, 3], {4}), ()),
    "update with nothing": (lambda it: it.update(), None),
    "update with a number": (lambda it: it.update(3), None),
    "difference_update": (lambda it: it.difference_update([1], [3]), ()),
    "difference_update with others": (lambda it: it.difference_update([3]), None),
    "intersection_update": (lambda it: it.intersection_update([1, 3]), ()),
    "intersection_update with all": (lambda it: it.intersection_update(it), None),
    "symmetric_difference_update": (lambda it: it.symmetric_difference_update([1, 3]), ()),
    "symmetric_difference_update with nothing": (
        lambda it: it.symmetric_difference_update([]),
        None,
    ),
    "|=": (lambda it: in_place.ior(it, {3}), ()),
    "-=": (lambda it: in_place.isub(it, {1}), ()),
    "-= itself": (lambda it: in_place.isub(it, it), ()),
    "&=": (lambda it: in_place.iand(it, {1}), ()),
    "^=": (lambda it: in_place.ixor(it, {1, 3}), ()),
    "^= itself": (lambda it: in_place.ixor(it, it), ()),
    "|= a list": (lambda it: in_place.ior(it, [3]), None),
    "-= a list": (lambda it: in_place.isub(it, [1]), None),
    "&= a list": (lambda it: in_place.iand(it, [1]), None),
    "^= a list": (lambda it: in_place.ixor(it, [1]), None),
    "|": (lambda it: it | {3}, None),
    "copy": (lambda it: it.copy(), None),
}
PLAIN: dict[str, tuple[Any, dict[str, tuple[Call, tuple[object, ...] | None]]]] = {
    "Lists": ([300, 1, 2], LIST),
    "Dicts": ({"a": 300, "b": 2}, DICT),
    "Sets": ({1, 2}, SET),
}
CALLS = [
    pytest.param(name, *call, id=f"{name}: {method}")
    for name, (_, calls) in PLAIN.items()
    for method, call in calls.items()
]
FAILURES = (IndexError, KeyError, TypeError, ValueError)

REMOVALS_OF_ROWS: dict[str, Callable[[Any], object]] = {
    "del from a list": lambda board: operator.delitem(board.rows, 0),
    "del a slice": lambda board: operator.delitem(board.rows, slice(2)),
    "pop from a list": lambda board: board.rows.pop(0),
    "remove": lambda board: board.rows.remove([1]),
    "clear a list": lambda board: board.rows.clear(),
    "replace in a list": lambda board: operator.setitem(board.rows, 0, [1]),
    "replace a slice": lambda board: operator.setitem(board.rows, slice(2), [[1], [2]]),
    "replace the list": lambda board: setattr(board, "rows", [[1], [2], [3]]),
}
REMOVALS_OF_ENTRIES: dict[str, Callable[[Any], object]] = {
    "del from a dict": lambda board: operator.delitem(board.index, "a"),
    "pop from a dict": lambda board: board.index.pop("a"),
    "popitem": lambda board: (board.index.popitem(), board.index.popitem()),
    "clear a dict": lambda board: board.index.clear(),
    "replace in a dict": lambda board: operator.setitem(board.index, "a", [1]),
    "update": lambda board: board.index.update(a=[1]),
    "replace the dict": lambda board: setattr(board, "index", {"a": [1]}),
}

# Each inserts [9], and returns it as the state has it.
INSERTIONS: dict[str, Callable[[Any], tuple[None, list[int]]]] = {
    "append": lambda board: (board.rows.append([9]), board.rows[-1]),
    "insert": lambda board: (board.rows.insert(1, [9]), board.rows[1]),
    "extend": lambda board: (board.rows.extend([[8], [9]]), board.rows[-1]),
    "set in a list": lambda board: (operator.setitem(board.rows, 1, [9]), board.rows[1]),
    "set a slice": lambda board: (operator.setitem(board.rows, slice(2), [[9]]), board.rows[0]),
    "set in a dict": lambda board: (operator.setitem(board.index, "c", [9]), board.index["c"]),
    "setdefault": lambda board: (None, board.index.setdefault("c", [9])),
    "update": lambda board: (board.index.update(a=[9]), board.index["a"]),
    "in a field": lambda board: (board.__setattr__("anything", [9]), board.anything),
    "in a tuple": lambda board: (board.__setattr__("pair", ([9], "")), board.pair[0]),
}

WRONG: dict[str, Call] = {
    "append": lambda board: board.rows.append("a"),
    "append within": lambda board: board.rows[0].append("a"),
    "insert": lambda board: board.rows.insert(0, ["a"]),
    "extend": lambda board: board.rows.extend([[4], ["a"]]),
    "set": lambda board: operator.setitem(board.rows, 0, "a"),
    "set a slice": lambda board: operator.setitem(board.rows, slice(2), [[1], "a"]),
    "set a key": lambda board: operator.setitem(board.index, 1, [1]),
    "set a value": lambda board: operator.setitem(board.index, "a", 1),
    "setdefault": lambda board: board.index.setdefault("c"),
    "dict.update": lambda board: board.index.update(c=[1], d=1),
    "add": lambda board: board.tags.add(1),
    "set.update": lambda board: board.tags.update(["b", 1]),
    "symmetric_difference_update": lambda board: board.tags.symmetric_difference_update(["a", 1]),
    "in a tuple": lambda board: board.pair[0].append("a"),
    "in a state": lambda board: setattr(board.items[0], "size", "a"),
}


@pytest.fixture(scope="module")
def classes(state: Any) -> SimpleNamespace:
    """Return classes of states, each container of them once in a field and once far down."""

    class Lists(state.State):
        flat: list[int]
        deep: dict[str, tuple[int, list[list[int]]]]

    class Dicts(state.State):
        flat: dict[str, int]
        deep: dict[str, tuple[int, list[dict[str, int]]]]

    class Sets(state.State):
        flat: set[int]
        deep: dict[str, tuple[int, list[set[int]]]]

    class Item(state.State):
        size: int = 0

    class Board(state.State):
        rows: list[list[int]]
        index: dict[str, list[int]]
        pair: tuple[list[int], str]
        items: list[Item]
        tags: set[str]
        anything: Any = None

    return SimpleNamespace(Lists=Lists, Dicts=Dicts, Sets=Sets, Item=Item, Board=Board)


@pytest.fixture
def board(classes: SimpleNamespace) -> Any:
    """Return a state with containers in containers."""
    rows, index = [[1], [2], [3]], {"a": [1], "b": [2]}
    item = classes.Item()
    return classes.Board(rows=rows, index=index, pair=([1], "one"), items=[item], tags={"a"})


def outcome(call: Call, container: Any) -> object:
    """Return the result of a call, or the type of its exception."""
    try:
        return call(container)
    except FAILURES as error:
        return type(error)


def listen(state: Any) -> list[Any]:
    """Return a list that grows by the paths of each notified change."""
    notified: list[Any] = []
    state.on_change(lambda change: notified.append(change.paths))
    return notified


@pytest.mark.parametrize(("name", "call", "path"), CALLS)
def test_a_call_works_as_on_a_plain_container_and_notifies_once(
    classes: SimpleNamespace, name: str, call: Call, path: tuple[object, ...] | None
) -> None:
    plain = PLAIN[name][0]
    expected = copy.copy(plain)
    state = getattr(classes, name)(flat=plain, deep={})
    notified = listen(state)
    assert outcome(call, state.flat) == outcome(call, expected)
    assert state.flat == expected
    assert notified == ([] if path is None else [(("flat", *path),)])


@pytest.mark.parametrize(("name", "call", "path"), CALLS)
def test_a_call_on_an_inner_container_notifies_its_change_once(
    classes: SimpleNamespace, name: str, call: Call, path: tuple[object, ...] | None
) -> None:
    plain = PLAIN[name][0]
    state = getattr(classes, name)(flat=plain, deep={"a": (0, [plain, plain])})
    notified = listen(state)
    outcome(call, state.deep["a"][1][1])
    assert notified == ([] if path is None else [(("deep", "a", 1, 1, *path),)])
    assert state.deep["a"][1][0] == plain


@pytest.mark.parametrize("remove", REMOVALS_OF_ROWS.values(), ids=REMOVALS_OF_ROWS)
def test_a_list_removed_from_a_list_is_plain_and_notifies_nothing(board: Any, remove: Call) -> None:
    assert_removed(board, board.rows[0], remove)


@pytest.mark.parametrize("remove", REMOVALS_OF_ENTRIES.values(), ids=REMOVALS_OF_ENTRIES)
def test_a_list_removed_from_a_dict_is_plain_and_notifies_nothing(board: Any, remove: Call) -> None:
    assert_removed(board, board.index["a"], remove)


def assert_removed(board: Any, row: Any, remove: Call) -> None:
    remove(board)
    before, notified = board.drain(), listen(board)
    row.append("anything")
    assert (row, notified, board.drain()) == ([1, "anything"], [], before)


@pytest.mark.parametrize("insert", INSERTIONS.values(), ids=INSERTIONS)
def test_an_inserted_list_is_tracked(
    board: Any, insert: Callable[[Any], tuple[None, list[int]]]
) -> None:
    row: list[int] = insert(board)[1]
    notified = listen(board)
    row.append(10)
    assert (row, len(notified)) == ([9, 10], 1)


@pytest.mark.parametrize("put", WRONG.values(), ids=WRONG)
def test_a_wrong_element_is_rejected_and_changes_nothing(state: Any, board: Any, put: Call) -> None:
    before, notified = board.drain(), listen(board)
    with state.strict_mode(), pytest.raises(TypeError, match=r"(Board|Item)\.\w+.*expected"):
        put(board)
    assert (board.drain(), notified) == (before, [])


@pytest.mark.parametrize("name", ["rows", "index", "tags", "pair"])
@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy])
def test_a_copy_is_plain(board: Any, name: str, duplicate: Call) -> None:
    tracked = getattr(board, name)
    plain = duplicate(tracked)
    assert plain == tracked
    assert type(plain) in (list, dict, set, tuple)


def test_a_failed_change_is_not_notified(state: Any, board: Any) -> None:
    notified = listen(board)
    with state.strict_mode(), pytest.raises(AttributeError, match="rowz"):
        board.rowz = []
    with pytest.raises(IndexError):
        del board.rows[3]
    assert notified == []
