"""Proofs that declared state keeps its promises: by property, by model, by fuzzing, by checker.

A project that the template emits has light tests of its own. The heavy ones are here, and
run the emitted `state` package unchanged, rendered once for each test process.
"""
