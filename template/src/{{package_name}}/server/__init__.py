"""A server of one document, which other programs edit over a local socket."""
