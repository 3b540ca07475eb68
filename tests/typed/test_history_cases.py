"""The steps of a history at any depth, and the memory that they take.

The emitted tests show what a step is.
"""

import gc
from typing import Any

import pytest

EMITTED = "test_history"


def test_a_change_of_another_kind_is_a_step_of_its_own(state: Any, emitted: Any) -> None:
    plan = emitted.Plan()
    history = state.History(plan)
    other = emitted.Plan()
    with other.on_change(lambda _: plan.order.append("x")):
        plan.weight = 1.0
        other.weight = 1.0
        other.weight = 2.0
    assert len(history.labels) == 3


def test_undo_reaches_any_depth(state: Any, emitted: Any) -> None:
    tree = leaf = emitted.Branch()
    for _ in range(40):
        leaf.inner = emitted.Branch()
        leaf = leaf.inner
    history = state.History(tree)
    leaf.name = "leaf"
    assert history.undo()
    assert leaf.name == ""


def test_a_history_that_is_dropped_ends(state: Any, emitted: Any) -> None:
    plan = emitted.Plan(order=["a", "b", "c"])
    history = state.History(plan)
    with (
        state.strict_mode(False),
        pytest.raises(TypeError, match="set a value of the declared type"),
    ):
        plan.order.append(1)
    del history
    gc.collect()
    with state.strict_mode(False):
        plan.order.append(1)
    assert len(plan.order) == 4


def test_forgotten_steps_take_no_room(emitted: Any) -> None:
    stack = emitted.UndoStack(limit=2, max_bytes=4 * emitted.step(1).size)
    for number in range(9):
        stack.push(emitted.step(number))
    assert len(stack.undoable) == 2
    for number in range(9):
        stack.undo()
        stack.push(emitted.step(number))
    assert len(stack.undoable) == 2
