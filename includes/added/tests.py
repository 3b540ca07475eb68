"""Tests of the modules that come from a template."""
