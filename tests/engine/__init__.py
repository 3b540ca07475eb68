"""Proofs of the engine and of the state server, with rendered projects."""
