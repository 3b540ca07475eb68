"""Digests of files, computed piece by piece so that any size fits in memory."""

import hashlib
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path

_PIECE = 1024 * 1024  # bytes; large enough that Python's own overhead is negligible


class Algorithm(StrEnum):
    """The algorithms on offer, all of them fit for checking that a file is unchanged."""

    SHA256 = "sha256"
    SHA512 = "sha512"
    BLAKE2B = "blake2b"


def digest_file(path: Path, algorithm: Algorithm, on_read: Callable[[int], object]) -> str:
    """Compute the digest of a file.

    Args:
        path: The file to read.
        algorithm: How to compute it.
        on_read: Called after each piece with its number of bytes, to show progress.

    Returns:
        The digest in lower-case hexadecimal.

    Raises:
        OSError: The file cannot be read.
    """
    digest = hashlib.new(algorithm)
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            digest.update(piece)
            on_read(len(piece))
    return digest.hexdigest()
