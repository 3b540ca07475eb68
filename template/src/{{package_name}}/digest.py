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

    Examples:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder, "report.txt")
        ...     _ = path.write_bytes(b"abc")
        ...     digest_file(path, Algorithm.SHA256, print)
        3
        'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad'
    """
    digest = hashlib.new(algorithm)
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_SIZE):
            digest.update(chunk)
            on_read(len(chunk))
    return digest.hexdigest()
