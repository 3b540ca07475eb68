"""Paths after elements have moved, copies of containers, and wrong elements outside of strict mode.

The emitted tests show one of each.
"""

from typing import Any

import pytest

EMITTED = "test_containers"


def test_a_change_of_several_keys_has_a_path_for_each(emitted: Any) -> None:
    board = emitted.Board()
    notified = emitted.listen(board)
    board.index.update({"b": [3], "c": [4]})
    assert notified == [(("index", "b"), ("index", "c"))]


def test_paths_stay_right_when_a_list_is_repeated_and_reversed(emitted: Any) -> None:
    board = emitted.Board()
    row = board.rows[0]
    board.rows *= 2
    board.rows.reverse()
    notified = emitted.listen(board)
    row.append(9)
    assert notified == [(("rows", 5, 1),)]


def test_paths_stay_right_when_a_state_moves(emitted: Any) -> None:
    item = emitted.Item()
    board = emitted.Board(items=[item], by_name={"a": item})
    board.items.insert(0, emitted.Item())
    del board.by_name["a"]
    board.by_name["b"] = item
    notified = emitted.listen(board)
    item.size = 1
    assert notified == [(("items", 1, "size"), ("by_name", "b", "size"))]


def test_a_state_no_longer_notifies_the_places_that_it_has_left(emitted: Any) -> None:
    class Board(emitted.Board):
        spare: emitted.Item | None = None  # pyright: ignore[reportInvalidTypeForm]

    item = emitted.Item()
    board = Board(items=[item], by_name={"a": item, "b": item}, chosen=item, spare=item)
    del board.by_name["a"]
    board.items.clear()
    board.chosen = None
    notified = emitted.listen(board)
    item.size = 1
    assert notified == [(("by_name", "b", "size"), ("spare", "size"))]


def test_a_removed_container_is_put_back_as_a_copy(emitted: Any) -> None:
    board = emitted.Board()
    row = board.rows.pop()
    board.rows.append(row)
    notified = emitted.listen(board)
    row.append(9)
    board.rows[2].append(4)
    assert (notified, board.rows[2]) == ([(("rows", 2, 1),)], [3, 4])


def test_a_state_in_a_removed_list_stays_a_state(emitted: Any) -> None:
    board = emitted.Board(items=[emitted.Item()])
    items, item = board.items, board.items[0]
    board.items = []
    notified = emitted.listen(item)
    item.size = 1
    assert (items[0].size, notified) == (1, [(("size",),)])


def test_a_container_is_not_copied_when_it_is_put_where_it_is(emitted: Any) -> None:
    board = emitted.Board(anything=[1])
    kept, notified = [board.rows[0], board.index["a"], board.anything], emitted.listen(board)
    board.rows[0] = board.rows[0]
    board.index["a"] = board.index["a"]
    board.anything = board.anything
    now = [board.rows[0], board.index["a"], board.anything]
    assert [*map(id, now)] == [*map(id, kept)]
    assert notified == []


def test_a_container_of_another_state_is_copied(emitted: Any) -> None:
    first, second = emitted.Board(), emitted.Board()
    second.rows = first.rows
    notified = emitted.listen(first), emitted.listen(second)
    second.rows[0].append(2)
    assert notified == ([], [(("rows", 0, 1),)])


def test_without_strict_mode_removed_elements_are_plain(state: Any, emitted: Any) -> None:
    class Lenient(emitted.Lenient):
        cache: state.Transient[Any] = None  # pyright: ignore[reportInvalidTypeForm]

    lenient = Lenient(cache=[1])
    cache = lenient.cache
    lenient.cache = 1
    lenient.numbers.append([1])
    removed = lenient.numbers.pop()
    notified = emitted.listen(lenient)
    removed.append(2)
    cache.append(2)
    assert (notified, removed) == ([], [1, 2])


def test_without_strict_mode_wrong_elements_are_drained_as_copies(emitted: Any) -> None:
    lenient = emitted.Lenient()
    lenient.numbers.append([1])
    drained = lenient.drain()["values"]["numbers"]
    assert drained == [[1]]
    assert drained[0] is not lenient.numbers[0]


def test_a_wrong_element_does_not_change_the_declared_type(state: Any, emitted: Any) -> None:
    lists = emitted.Lists(flat=[], deep={})
    with state.strict_mode(False):
        lists.flat.append("one")
    with state.strict_mode(), pytest.raises(TypeError, match=r"^Lists\.flat.*: expected int"):
        lists.flat.append("two")
    assert lists.drain()["values"]["flat"] == ["one"]


def test_a_wrong_element_in_a_container_of_scalars_is_tracked_and_drained_as_a_copy(
    state: Any, emitted: Any
) -> None:
    dicts = emitted.Dicts(flat={}, deep={})
    with state.strict_mode(False):
        dicts.flat["a"] = [1]
    drained = dicts.drain()["values"]["flat"]
    notified = emitted.listen(dicts)
    dicts.flat["a"].append(2)
    assert drained == {"a": [1]}
    assert notified == [(("flat", "a", 1),)]


def test_a_list_put_into_itself_is_copied(emitted: Any) -> None:
    board = emitted.Board(anything=[1])
    board.anything.append(board.anything)
    assert board.anything == [1, [1]]


def test_one_state_may_be_in_another_twice(emitted: Any) -> None:
    part = emitted.Item()
    item = emitted.Item(parts=[part])
    board = emitted.Board(items=[item, item], chosen=item)
    item.parts.append(part)
    assert board.items[1].parts == [part, part]
