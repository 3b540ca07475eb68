"""Count what a reader must understand: lines of code without docstrings and comments."""

import ast
import io
import tokenize

_NOT_CODE = {
    tokenize.COMMENT,
    tokenize.DEDENT,
    tokenize.ENDMARKER,
    tokenize.INDENT,
    tokenize.NEWLINE,
    tokenize.NL,
}
_DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def _is_text(node: ast.stmt) -> bool:
    value = node.value if isinstance(node, ast.Expr) else None
    return isinstance(value, ast.Constant) and isinstance(value.value, str)


def count_code_lines(source: str) -> int:
    """Return the number of lines of Python source that hold code.

    Args:
        source: A module.

    Returns:
        Lines with at least one token that is neither a comment nor part of a docstring.
    """
    documentation: set[int] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, _DOCUMENTED):
            # A class also has the docstrings of its attributes.
            body = node.body if isinstance(node, ast.ClassDef) else node.body[:1]
            for text in filter(_is_text, body):
                documentation.update(range(text.lineno, (text.end_lineno or 0) + 1))
    code: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in _NOT_CODE:
            code.update(range(token.start[0], token.end[0] + 1))
    return len(code - documentation)
