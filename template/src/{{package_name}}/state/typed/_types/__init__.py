"""Handlers of the types that a field may be declared with."""
