"""Values as text in messages: short, and never an error of their own."""

_LIMIT = 100


def short_repr(value: object) -> str:
    """Return the beginning of the `repr()` of a value, or the reason why it has none."""
    try:
        return f"{value!r:.{_LIMIT}}"
    except (ValueError, RecursionError) as error:  # too many digits, or nested too deeply
        return f"<{error}>"
