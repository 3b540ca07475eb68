"""Proofs that durable state is durable: by model, by power cut, by kill, by fault.

A project that the template emits has light tests of its own. The heavy ones are here, and
run the emitted `utils/persistence.py` unchanged, rendered once for each test process.
"""
