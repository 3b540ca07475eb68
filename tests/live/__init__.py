"""Proofs of live state, with a rendered web service, in Python, JavaScript and the browser."""
