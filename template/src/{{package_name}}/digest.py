"""Digests of files, computed in chunks, so that a file may be larger than memory."""

import hashlib
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path

_CHUNK_SIZE = 1024 * 1024  # bytes; large enough that Python's own overhead is negligible


class Algorithm(StrEnum):
    """The supported algorithms, each of them secure for detecting changes of a file."""

    SHA256 = "sha256"
    SHA512 = "sha512"
    BLAKE2B = "blake2b"


def digest_file(path: Path, algorithm: Algorithm, on_read: Callable[[int], object]) -> str:
    """Compute the digest of a file.

    Args:
        path: The file to read.
        algorithm: The algorithm.
        on_read: Called after each chunk with its number of bytes, to show progress.

    Returns:
        The digest in lower-case hexadecimal.

    Raises:
        OSError: If the file cannot be read.
    """
    digest = hashlib.new(algorithm)
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_SIZE):
            digest.update(chunk)
            on_read(len(chunk))
    return digest.hexdigest()
