"""Operations do to a state what they do to its JSON, and what they refuse changes nothing."""

import copy
import json
from collections.abc import Mapping
from datetime import date
from functools import partial
from importlib import import_module
from random import Random
from typing import Annotated, Any

import pytest
from calls import count_calls
from hypothesis import given
from hypothesis import strategies as st

from typed import json_oracle as oracle
from typed.comparing import same_each_time
from typed.json_oracle import Shape
from typed.type_strategies import JSON

INT, FLOAT, TEXT = Shape("int"), Shape("float"), Shape("text")
LEAF = Shape(
    "state", parts={"n": INT, "ratio": FLOAT, "tags": Shape("set", TEXT), "by": Shape("dict", INT)}
)
OTHER = Shape("state", parts={"days": Shape("dict", FLOAT, "day")})
DOCUMENT = Shape(
    "state",
    parts={
        "title": TEXT,
        "leaf": Shape("maybe", LEAF),
        "leaves": Shape("list", LEAF),
        "named": Shape("dict", LEAF),
        "numbered": Shape("dict", Shape("list", INT), "int"),
        "mixed": Shape("dict", INT, "mixed"),
        "pair": Shape("tuple", parts={"0": LEAF, "1": Shape("list", INT)}),
        "anything": Shape("any"),
        "last": Shape("list", INT, keep=3),
        "hits": INT,
        "shape": Shape("union", parts={"Leaf": LEAF, "Other": OTHER}),
        "nested": Shape("list", Shape("dict", Shape("set", INT))),
    },
)
CODES = {"invalid_operation", "unknown_path", "not_found", "invalid_value", "conflict"}
ROOTS = {"document": DOCUMENT, "leaf": LEAF}


@pytest.fixture(scope="module")
def api(state: Any) -> Any:
    """Return the functions under test, with the classes of the shapes above."""

    class Leaf(state.State):
        n: int = 0
        ratio: float = 0.0
        tags: set[str] = state.field(default_factory=set)
        by: dict[str, int] = state.field(default_factory=dict)

    class Other(state.State):
        days: dict[date, float] = state.field(default_factory=dict)

    class Document(state.State):
        title: str
        leaf: Leaf | None
        leaves: list[Leaf]
        named: dict[str, Leaf]
        numbered: dict[int, list[int]]
        mixed: dict[int | str, int]
        pair: tuple[Leaf, list[int]]
        anything: Any
        last: Annotated[list[int], state.Keep(3)]
        hits: state.Counter[int]  # pyright: ignore[reportInvalidTypeForm]
        shape: Leaf | Other
        nested: list[dict[str, set[int]]]

    class Api:
        classes: Mapping[str, Any] = {"document": Document, "leaf": Leaf}
        views: Any = import_module(f"{state.__name__}.typed._view")
        apply = staticmethod(state.apply_operations)
        transaction = staticmethod(state.transaction)

        def hydrate(self, forms: Mapping[str, Any]) -> dict[str, Any]:
            """Return the states of views."""
            versions = {name: self.views.versions_of(cls) for name, cls in self.classes.items()}
            return {
                name: self.views.hydrate_view(cls, copy.deepcopy(forms[name]), versions[name])
                for name, cls in self.classes.items()
            }

        def refusal_of(
            self, states: Mapping[str, Any], operations: Any, *, safe_integers: bool = False
        ) -> dict[str, Any]:
            """Apply operations, and return the refusal; empty if there is none."""
            try:
                self.apply(states, operations, safe_integers=safe_integers)
            except state.RefusedOperation as refusal:
                return dict(refusal.refusal)
            return {}

        def spell(self, states: Mapping[str, Any]) -> str:
            """Return the views of states as text, in their order."""
            return json.dumps({name: self.views.view(each) for name, each in states.items()})

        def encode(self, states: Mapping[str, Any]) -> list[bytes]:
            """Return the encoded payloads of states."""
            codec = state.JsonCodec()
            return [codec.encode(self.classes[n], each.drain()) for n, each in states.items()]

    return Api()


@pytest.mark.parametrize("seed", range(60))
def test_the_state_equals_the_json(api: Any, seed: int) -> None:
    random = oracle.randomness(seed)
    forms = {name: oracle.make(shape, random) for name, shape in ROOTS.items()}
    states = api.hydrate(forms)
    for _ in range(12):
        before, payloads = copy.deepcopy(forms), api.encode(states)
        operations, code = [], None
        try:
            for _ in range(random.randint(1, 3)):
                operations.append(oracle.propose(ROOTS, forms, random))
                oracle.apply(ROOTS, forms, operations[-1])
        except oracle.RefusedError as error:
            forms, code = before, error.code
        with api.transaction(states) as changes:
            refusal = api.refusal_of(states, operations)
        assert refusal.get("code") == code, (refusal, operations)
        if refusal:
            assert api.encode(states) == payloads
            assert changes.operations == []
            continue
        assert api.spell(states) == json.dumps(forms), operations
        assert_exact(api, states, before, changes, payloads)
        assert api.encode(api.hydrate(forms)) == api.encode(states)


def assert_exact(
    api: Any, states: Any, forms: dict[str, Any], changes: Any, payloads: list[bytes]
) -> None:
    """Check that rendered operations do the same on states and on JSON, and take it back.

    Args:
        api: The functions under test.
        states: The states after the changes.
        forms: Their views before the changes. They follow them.
        changes: The transaction with the changes.
        payloads: The payloads before the changes.
    """
    after = api.encode(states)
    for operation in changes.operations:
        oracle.apply(ROOTS, forms, operation)
    assert api.spell(states) == json.dumps(forms), changes.operations
    api.apply(states, changes.inverses)
    assert api.encode(states) == payloads, changes.inverses
    api.apply(states, changes.operations)
    assert api.encode(states) == after


def writes_of(document: Any, random: Random) -> Any:
    """Return a write of Python code to a state."""
    numbers = document.numbered.setdefault(5, [3, 1, 2])
    return random.choice(
        [
            lambda: document.last.extend([1, 2, 3, 4]),
            lambda: document.last.insert(random.randint(0, 3), 9),
            lambda: document.last.__setitem__(slice(1, 2), [7, 8, 9]),
            lambda: numbers.sort(),
            lambda: numbers.reverse(),
            lambda: numbers.__imul__(2),
            lambda: numbers.__delitem__(slice(None, None, 2)),
            lambda: numbers.__setitem__(slice(0, 1), [4, 5]),
            lambda: document.pair[1].append(6),
            lambda: setattr(document.pair[0], "n", random.randint(0, 9)),
            lambda: document.named.update(x=type(document.pair[0])(n=1), y=document.pair[0]),
            lambda: document.named.pop("x", None),
            lambda: document.named.clear(),
            lambda: document.leaves.append(type(document.pair[0])(tags={"a", "b"})),
            lambda: document.leaves.clear(),
            lambda: setattr(document, "leaf", document.leaves[0] if document.leaves else None),
            lambda: document.pair[0].tags.symmetric_difference_update({"a", "c", "d"}),
            lambda: document.mixed.update({"5": 1, 5: 2, "a": 3}),
            lambda: document.mixed.pop(5, None),
            lambda: setattr(document, "anything", {"x": [1, {"y": 2}]}),
            lambda: setattr(document, "hits", document.hits + random.randint(-3, 3)),
            lambda: setattr(document, "shape", type(document.shape)()),
        ]
    )


@pytest.mark.parametrize("seed", range(30))
def test_rendered_writes_do_the_same_to_the_json(api: Any, seed: int) -> None:
    random = oracle.randomness(seed)
    forms = {name: oracle.make(shape, random) for name, shape in ROOTS.items()}
    states = api.hydrate(forms)
    for _ in range(12):
        payloads = api.encode(states)
        with api.transaction(states) as changes:
            for _ in range(random.randint(1, 3)):
                writes_of(states["document"], random)()
        assert_exact(api, states, forms, changes, payloads)
        # A state that stood in two places has become two.
        states = api.hydrate(forms)


def nested(depth: int) -> Any:
    """Return lists in lists."""
    value: Any = []
    for _ in range(depth):
        value = [value]
    return value


NAMES = st.sampled_from(
    [
        *("document", "leaf", "title", "leaves", "named", "numbered", "mixed", "pair", "anything"),
        *("last", "hits", "shape", "nested", "n", "tags", "by", "days", "a", "5", "-7", "", "NaN"),
        *("__class__", "_state_node", "drain", "__version__", "__newer__", "\ud800", "x" * 999),
        *("1e999", "[1]", "{}", "null", "9" * 5000, "Leaf"),
    ]
)
ODD = st.sampled_from(
    [
        *(None, True, -1, 0, 1, 3, 1.5, 2**70, 10**400, -0.0, 1e308, float("nan"), float("inf")),
        *(b"", (), {1: 2}, {"a": object()}, {"__version__": 9, "values": {}}, nested(90)),
        *({"__newer__": {"__version__": 9, "values": {"z": 1}}}, {"__type__": "Leaf", "value": {}}),
        *({"__type__": "int", "value": 1}, {"__version__": 1, "values": {"n": "a"}}, {"n": 2}),
        *({"__version__": True, "values": {}}, {"__newer__": 3}, {"__type__": [], "value": 2}),
    ]
)
STEPS = NAMES | st.integers(-1, 4) | ODD
MEMBERS: dict[str, Any] = {
    "op": st.sampled_from([*oracle.OPS, "test", "replace", "", None, 3, []]),
    "path": st.lists(NAMES | st.integers(0, 3), min_size=1, max_size=5)
    | st.lists(STEPS, max_size=40)
    | JSON
    | ODD,
    "value": JSON | ODD,
    "expect": JSON | ODD,
    "absent": st.booleans() | ODD,
    "at": st.integers(-1, 5) | ODD,
    "more": JSON,
}
JUNK = st.fixed_dictionaries({}, optional=MEMBERS) | ODD | JSON
LIKELY = st.fixed_dictionaries(
    {
        "op": st.sampled_from(oracle.OPS),
        "path": st.sampled_from(["document", "leaf"]).flatmap(
            lambda name: st.lists(NAMES | st.integers(0, 2), max_size=3).map(lambda p: [name, *p])
        ),
        "value": JSON | ODD,
    },
    optional={"at": st.integers(0, 2), "expect": JSON | ODD},
)


@same_each_time(1000)
@given(st.integers(0, 9), st.lists(LIKELY | JUNK, min_size=1, max_size=2) | ODD, st.booleans())
def test_wrong_operations_are_refused_and_change_nothing(
    api: Any, seed: int, operations: Any, safe: bool
) -> None:
    random = oracle.randomness(seed)
    states = api.hydrate({name: oracle.make(shape, random) for name, shape in ROOTS.items()})
    payloads, notified = api.encode(states), list[Any]()
    states["document"].on_change(notified.append)
    before = repr(operations)
    if refusal := api.refusal_of(states, operations, safe_integers=safe):
        assert refusal["code"] in CODES
        assert 0 < len(refusal["message"]) < 2_000
        assert api.encode(states) == payloads
        assert notified == []
    else:
        forms = json.loads(api.spell(states))
        assert api.encode(api.hydrate(forms)) == api.encode(states)
    assert repr(operations) == before


@pytest.mark.parametrize("depth", [200, 300, 900, 5_000, 100_000])
@pytest.mark.parametrize("member", ["value", "expect"])
def test_deep_json_is_kept_or_refused(api: Any, member: str, depth: int) -> None:
    states = api.hydrate(
        {name: oracle.make(shape, oracle.randomness(1)) for name, shape in ROOTS.items()}
    )
    operation = {"op": "set", "path": ["document", "anything"], "value": 1, member: nested(depth)}
    refusal = api.refusal_of(states, [operation])
    assert refusal.get("code", "conflict") in ("conflict", "invalid_value")


OF_ANY_SIZE = [
    {"op": "set", "path": ["document", "named", "5", "n"], "value": 1, "expect": 7},
    {"op": "set", "path": ["document", "leaves", 3], "value": {"n": 2}},
    {"op": "set", "path": ["document", "named", "new"], "value": {}, "absent": True},
    {"op": "append", "path": ["document", "leaves"], "value": {"tags": ["a"]}},
    {"op": "increment", "path": ["document", "leaves", 0, "n"], "value": 1},
    {"op": "delete", "path": ["document", "leaves", 9]},
    {"op": "insert", "path": ["document", "leaves", 0], "value": {}},
    {"op": "append", "path": ["document", "named", "3", "tags"], "value": "x"},
]


@pytest.mark.parametrize("operation", OF_ANY_SIZE, ids=lambda each: str(each["op"]))
def test_an_operation_takes_as_many_steps_in_a_large_document(api: Any, operation: Any) -> None:
    forms = {name: oracle.make(shape, oracle.randomness(3)) for name, shape in ROOTS.items()}
    counts = set()
    for size in (10, 10, 3_000):
        forms["document"]["named"] = {str(n): {"n": 7} for n in range(size)}
        forms["document"]["leaves"] = [{"n": 7} for _ in range(size)]
        counts.add(count_calls(partial(api.apply, api.hydrate(forms), [operation])))
    assert len(counts) == 1 or max(counts) - min(counts) < 20, counts
