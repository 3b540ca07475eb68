"""Proofs that the stores keep their promises: by model, by power cut, by kill, by fault.

A project that the template emits has light tests of its own. The heavy ones are here, and
run the emitted `state` package unchanged, rendered once for each test process. Redis is a
real server, which the proofs kill, starve and cut off.
"""
