"""Client functions: from functions of the service to source that a browser can run."""

import ast
import builtins
import dataclasses
import inspect
import symtable
import textwrap
from collections.abc import Callable, Iterator, Mapping
from types import FunctionType
from typing import Any, cast

from ..state.typed import State, fields_of
from ..state.typed._tree import MISSING
from ..state.typed._view import view_of
from ..state.typed.fields import Field
from .conversion import derive, is_convertible

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
# Makers of values that can change, without anything in them.
_EMPTY: dict[object, str] = {list: "[]", dict: "{}", set: "[]"}


class ClientCode:
    """The client functions of a page, and the source of everything that they use.

    Args:
        states: The shared and local states by name; it may grow later.

    Attributes:
        sources: The source of each function and of each class that they use, by name.
    """

    def __init__(self, states: Callable[[], Mapping[str, object]]) -> None:
        self.sources: dict[str, str] = {}
        self._states = states
        self._functions: dict[str, object] = {}
        self._classes: dict[str, object] = {}
        # The names that a function uses, and that are not defined yet.
        self._missing: list[tuple[FunctionType, str]] = []

    def add(self, function: FunctionType, known_as: object) -> None:
        """Add a function.

        Args:
            function: The function.
            known_as: The object that its name stands for in its module.

        Raises:
            TypeError: Its source cannot run in a browser; the message names the reason.
        """
        name, function = function.__name__, inspect.unwrap(function)
        source = ast.unparse(_Stripper().visit(_parse(function))) + "\n"
        self._functions[name] = known_as
        try:
            for used in _globals_of(function.__name__, source):
                self._check(function, used)
        except BaseException:
            del self._functions[name]
            raise
        self.sources[name] = source

    def check(self) -> None:
        """Check the names that were defined after the function that uses them.

        Raises:
            TypeError: A name is not defined, or does not exist in a browser.
        """
        missing, self._missing = self._missing, []
        for function, name in missing:
            if _find(function, name) is MISSING:
                raise TypeError(f"{function.__name__}() uses {name!r}, which is not defined")
            self._check(function, name)

    def _check(self, function: FunctionType, name: str) -> None:
        """Raise TypeError if a name does not stand for the same thing in a browser."""
        value = _find(function, name)
        if value is MISSING:
            if not hasattr(builtins, name):
                self._missing.append((function, name))
        elif self._states().get(name) is value or self._functions.get(name) is value:
            return
        elif _has_fields(value) and cast(type, value).__name__ == name:
            if self._classes.setdefault(name, value) is not value:
                raise TypeError(f"There are two classes {name} in client functions: rename one")
            if name not in self.sources:
                self.sources[name] = _maker_of(value)
        else:
            raise TypeError(self._explain(function, name, value))

    def _explain(self, function: FunctionType, name: str, value: object) -> str:
        where = f"{function.__name__}() uses {name!r}, "
        known = {**self._states(), **self._functions}
        others = [other for other, each in known.items() if each is value]
        if others:
            return f"{where}which is {others[0]!r} in the browser: use that name"
        if inspect.ismodule(value):
            return f"{where}a module: import it inside the function"
        return (
            f"{where}which does not exist in the browser: use live states, other client functions,"
            f" State classes, dataclasses and builtins, or import it inside the function"
        )


def _parse(function: FunctionType) -> ast.Module:
    """Return the definition of a function, alone."""
    name = function.__name__
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, SyntaxError) as error:
        raise TypeError(f"The source of {name}() cannot be read: {error}") from error
    if len(tree.body) != 1 or not isinstance(tree.body[0], _FUNCTIONS):
        raise TypeError(f"{name} is not defined with `def`: write a function")
    return tree


class _Stripper(ast.NodeTransformer):
    """Removes annotations, and the decorators of the outermost function."""

    def visit_Module(self, node: ast.Module) -> ast.AST:
        """Remove the decorators, and visit all else."""
        cast(Any, node.body[0]).decorator_list = []
        return self.generic_visit(node)

    def visit_arg(self, node: ast.arg) -> ast.AST:
        """Remove the annotation of a parameter."""
        node.annotation = None
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        """Remove the annotation of the result."""
        node.returns = None
        return self.generic_visit(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AST:
        """Remove the annotation of the result."""
        node.returns = None
        return self.generic_visit(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        """Keep the assignment only; a name without a value stays a local one."""
        self.generic_visit(node)
        if node.value is None:
            return ast.copy_location(ast.Pass(), node)
        return ast.copy_location(ast.Assign([node.target], node.value), node)


def _globals_of(name: str, source: str) -> list[str]:
    """Return the global names that the source of a function uses."""
    table = symtable.symtable(source, "<client>", "exec")
    used: dict[str, None] = {}
    for each in _tables(table):
        for symbol in each.get_symbols():
            is_outer = each is table and symbol.get_name() == name
            if symbol.is_global() and symbol.is_assigned() and each is not table:
                raise TypeError(
                    f"{name}() assigns the global {symbol.get_name()!r}: keep it in a local state"
                )
            if not is_outer and symbol.is_global() and symbol.is_referenced():
                used[symbol.get_name()] = None
    return [*used]


def _tables(table: symtable.SymbolTable) -> Iterator[symtable.SymbolTable]:
    yield table
    for child in table.get_children():
        yield from _tables(child)


def _find(function: FunctionType, name: str) -> object:
    """Return the object that a global name, or one of an outer function, stands for."""
    cells = dict(zip(function.__code__.co_freevars, function.__closure__ or (), strict=True))
    if name in cells:
        try:
            return cast(object, cells[name].cell_contents)
        except ValueError:  # it is assigned later
            return MISSING
    return function.__globals__.get(name, MISSING)


def _has_fields(value: object) -> bool:
    return is_convertible(value) or (isinstance(value, type) and issubclass(value, State))


def _maker_of(cls: Any) -> str:
    """Return the source of a function that makes the JSON of an object of a class.

    A default that only the server can compute is left out, and the server fills it in.
    """
    made = cls if issubclass(cls, State) else derive(cls)
    fields = [each for name, each in fields_of(made).items() if each.drained and name[0] != "_"]
    parameters = [
        each.name if each.required else f"{each.name}={_default_of(each)}" for each in fields
    ]
    if parameters and not _takes_positions(cls):
        parameters.insert(0, "*")
    items = "{" + ", ".join(map(_item_of, fields)) + "}"
    return f"def {cls.__name__}({', '.join(parameters)}):\n    return {items}\n"


def _takes_positions(cls: Any) -> bool:
    """Return whether a class, or its maker, takes values without their names."""
    if issubclass(cls, State) or not dataclasses.is_dataclass(cls):
        return False
    return not any(each.kw_only for each in dataclasses.fields(cls))


def _default_of(field: Field) -> str:
    """Return the default of a parameter; `...` stands for a new or an unknown value."""
    if field.default_factory is not None:
        return "..."
    handler = field.handler
    return repr(view_of(handler, field.default)) if handler.immutable else "..."


def _item_of(field: Field) -> str:
    name = field.name
    if field.required or _default_of(field) != "...":
        return f"{name!r}: {name}"
    if empty := _EMPTY.get(_made_by(field)):
        return f"{name!r}: {empty} if {name} is ... else {name}"
    return f"**(dict() if {name} is ... else dict({name}={name}))"


def _made_by(field: Field) -> object:
    """Return the class that makes the default of a field, without its type parameters."""
    factory: Any = field.default_factory
    return getattr(factory, "__origin__", factory)
