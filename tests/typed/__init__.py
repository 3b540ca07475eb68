"""Proofs that declared state keeps its promises: by property, by model, by fuzzing, by checker.

A project that the template emits carries light tests of its own. The heavy ones are here, and
run the emitted `state` package as it stands, rendered once for each test process.
"""
