"""Modules from a template, apart from the modules of this package with the same names."""
