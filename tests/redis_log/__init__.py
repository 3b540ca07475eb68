"""Proofs of the log on Redis: several processes, and every way in which one of them ends."""
