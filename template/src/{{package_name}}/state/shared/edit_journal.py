"""A journal of applied entries in an SQLite database: nothing acknowledged is lost."""

import logging
import os
import sqlite3
import threading
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from ...utils.persistence import absolute_path, write_durably
from .. import _json
from ..errors import CorruptStateError, StoreUnavailableError
from .entry import Entry
from .log import LoggedEntry, Recovery

logger = logging.getLogger(__name__)

MAX_BYTES = 64 * 1024 * 1024
# Seconds between two flushes, in a journal that need not survive a power cut as a whole.
FLUSH_INTERVAL = 1.0
_APPLICATION, _FORMAT = 0x686F6C64, 1
_DAMAGED = (sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
# `unflushed` is the boot of the machine since which commits may be in its memory only; NULL
# if there are none.
_SCHEMA = """
BEGIN;
CREATE TABLE journal (id INTEGER PRIMARY KEY, unflushed TEXT, snapshot BLOB);
CREATE TABLE entries (seq INTEGER PRIMARY KEY, entry BLOB NOT NULL);
INSERT INTO journal VALUES (1, NULL, NULL);
COMMIT;
"""


class EditJournal:
    """Keeps a snapshot of a session and the entries applied after it, in one SQLite database.

    The entries of one turn are committed together, before any of them is answered. After a
    kill of the process nothing acknowledged is missing. After a power cut the last second
    may be missing, in which case a new epoch begins; with the durability `power` nothing is.
    One process may use a journal at a time. The file must be on a local disk; new files have
    the mode 0600.

    Args:
        path: Path of the database. `~` is expanded, and missing folders are created.
        durability: `process` flushes once a second, `power` flushes each turn.
        max_bytes: Bytes of entries from which on the journal begins again with a snapshot.

    Raises:
        ValueError: The durability is unknown.
        OSError: `~` is not a known home folder.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        durability: Literal["process", "power"] = "process",
        max_bytes: int = MAX_BYTES,
    ) -> None:
        if durability not in ("process", "power"):
            raise ValueError(f"durability is {durability!r}: give 'process' or 'power'")
        self.path = absolute_path(path)
        self._flushes_each = durability == "power"
        self._risk = None if self._flushes_each else _boot()
        self._max_bytes = self._limit = max_bytes
        self._snapshot_bytes = self._entry_bytes = 0
        self._database: sqlite3.Connection | None = None
        self._lock: sqlite3.Connection | None = None
        self._flusher: _Flusher | None = None

    @property
    def size(self) -> int:
        """The number of bytes of the snapshot and the entries."""
        return self._snapshot_bytes + self._entry_bytes

    def open(self) -> Recovery:
        """Return the snapshot and the entries, and exclude other processes until `close()`.

        Raises:
            CorruptStateError: The file is damaged, or not a journal; it was left untouched.
            StoreUnavailableError: Another process uses it, or it cannot be opened.
        """
        try:
            with self._translating_errors(if_damaged=CorruptStateError):
                if not self.path.exists():
                    write_durably(self.path, b"", private=True)
                self._lock = _lock(self.path)
                self._database = database = _connect(self.path)
                self._prepare(database)
                recovery = self._recover(database)
            if not self._flushes_each:
                self._flusher = _Flusher(self.path)
            return recovery
        except BaseException:
            self.close()
            raise

    def _prepare(self, database: sqlite3.Connection) -> None:
        database.execute("PRAGMA journal_mode = WAL")
        # Flushing all the way to the disk, which macOS does only on demand.
        database.execute("PRAGMA fullfsync = ON")
        # The flusher does most of it, where there is one; this limits the size of the log.
        database.execute("PRAGMA wal_autocheckpoint = 4000")
        database.execute("PRAGMA synchronous = FULL")
        [[tables]] = database.execute("SELECT count(*) FROM sqlite_schema")
        if not tables:
            database.executescript(_SCHEMA)
            database.execute(f"PRAGMA application_id = {_APPLICATION}")
            database.execute(f"PRAGMA user_version = {_FORMAT}")
        [[application]] = database.execute("PRAGMA application_id")
        [[version]] = database.execute("PRAGMA user_version")
        if application != _APPLICATION:
            raise CorruptStateError(f"{self.path} is not an edit journal: use another path")
        if version != _FORMAT:
            raise StoreUnavailableError(
                f"{self.path} has format {version}, newer than format {_FORMAT}: "
                "upgrade the program"
            )

    def _recover(self, database: sqlite3.Connection) -> Recovery:
        [[unflushed, snapshot]] = database.execute("SELECT unflushed, snapshot FROM journal")
        rows = database.execute("SELECT seq, entry FROM entries ORDER BY seq").fetchall()
        self._snapshot_bytes = len(snapshot or b"")
        self._entry_bytes = sum(len(entry) for _, entry in rows)
        decoded = snapshot and _json.decode(snapshot, str(self.path))
        entries = tuple(self._read(*row) for row in rows)
        recovery = Recovery(decoded, entries, _is_kept(unflushed))
        # Flushed, before anything is at risk. Where something may be missing, the next snapshot
        # does it: until then, another start must notice it too.
        if recovery.is_complete:
            database.execute("UPDATE journal SET unflushed = ?", (self._risk,))
        if not self._flushes_each:
            database.execute("PRAGMA synchronous = NORMAL")
        return recovery

    def _read(self, seq: int, data: bytes) -> LoggedEntry:
        form = _json.decode(data, str(self.path))
        try:
            return LoggedEntry(seq, Entry.from_json(form), dict(form.get("refused", ())))
        except ValueError as error:
            raise CorruptStateError(f"{self.path} is damaged: {error}") from error

    def append(self, entries: Sequence[LoggedEntry]) -> bool:
        """Commit entries, all or none, and return whether a new snapshot is due.

        Raises:
            StoreUnavailableError: None was committed.
        """
        rows = [(logged.seq, _to_bytes(logged)) for logged in entries]
        if rows:
            with self._transaction() as database:
                database.executemany("INSERT INTO entries VALUES (?, ?)", rows)
            self._entry_bytes += sum(len(data) for _, data in rows)
        return self._entry_bytes > self._limit

    def rewrite(self, snapshot: bytes, *, final: bool = False) -> None:
        """Replace the content by a snapshot.

        Args:
            snapshot: The snapshot.
            final: Flush it, so that nothing is at risk; nothing may be appended then.

        Raises:
            StoreUnavailableError: The content is as it was.
        """
        try:
            with self._transaction(flushed=final) as database:
                database.execute("DELETE FROM entries")
                risk = None if final else self._risk
                database.execute("UPDATE journal SET unflushed = ?, snapshot = ?", (risk, snapshot))
        except StoreUnavailableError:
            # It would not fit the next time either.
            self._limit += self._max_bytes
            raise
        self._snapshot_bytes, self._entry_bytes, self._limit = len(snapshot), 0, self._max_bytes

    def set_aside(self, entries: Sequence[LoggedEntry]) -> str:
        """Write entries to a file beside the journal, one a line, and return its path."""
        path = _beside(self.path, "unreplayed")
        write_durably(path, b"".join(_to_bytes(each) + b"\n" for each in entries), private=True)
        return str(path)

    def move_away(self) -> Path:
        """Move a damaged journal to a name beside it, and return its new path."""
        path = _beside(self.path, "damaged")
        for suffix in ("-wal", "-shm"):
            with suppress(FileNotFoundError):
                self.path.with_name(self.path.name + suffix).rename(f"{path}{suffix}")
        return self.path.rename(path)

    def close(self) -> None:
        """Let other processes use it; closing twice is fine."""
        if self._flusher:
            self._flusher.close()
            self._flusher = None
        for connection in (self._database, self._lock):
            if connection:
                connection.close()
        self._database = self._lock = None

    @contextmanager
    def _transaction(self, *, flushed: bool = False) -> Generator[sqlite3.Connection]:
        with self._translating_errors():
            if (database := self._database) is None:
                raise ValueError("The journal is closed: open a new one")
            if flushed:
                database.execute("PRAGMA synchronous = FULL")
            database.execute("BEGIN IMMEDIATE")
            try:
                yield database
                database.execute("COMMIT")
            except BaseException:
                if database.in_transaction:
                    database.execute("ROLLBACK")
                raise
        if self._flusher:
            self._flusher.has_work = True

    @contextmanager
    def _translating_errors(
        self, if_damaged: type[CorruptStateError | StoreUnavailableError] = StoreUnavailableError
    ) -> Generator[None]:
        try:
            yield
        except StoreUnavailableError:
            raise
        except (sqlite3.Error, OSError) as error:
            # Errors of Python itself have no code.
            code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF
            if isinstance(error, sqlite3.Error) and code in _DAMAGED:
                raise if_damaged(
                    f"{self.path} is damaged ({error}): repair it with the .recover command of "
                    "sqlite3, or move it away to start without it"
                ) from error
            raise StoreUnavailableError(f"Cannot use {self.path}: {error}") from error


class _Flusher:
    """Flushes the commits of a journal once a second, in a thread.

    SQLite flushes its log when it copies it into the database, and not at a commit.
    """

    def __init__(self, path: Path) -> None:
        self.has_work = False
        self._path = path
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="edit-journal", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._closing.set()
        self._thread.join()

    def _run(self) -> None:
        database = _connect(self._path)
        database.execute("PRAGMA checkpoint_fullfsync = ON")
        while not self._closing.wait(FLUSH_INTERVAL):
            if self.has_work:
                self.has_work = False
                try:
                    database.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
                except sqlite3.Error as error:
                    self.has_work = True
                    logger.warning("Cannot flush %s for now: %s", self._path, error)
        database.close()


def _connect(path: Path) -> sqlite3.Connection:
    # Its users take turns under a lock of their own.
    return sqlite3.connect(path, timeout=10.0, isolation_level=None, check_same_thread=False)


def _lock(path: Path) -> sqlite3.Connection:
    """Return a connection that holds the lock of a journal until it is closed.

    A second database serves as the lock, because it does so on every system.
    """
    name = f"{path}.lock"
    os.close(os.open(name, os.O_RDWR | os.O_CREAT, 0o600))
    lock = sqlite3.connect(name, timeout=0, isolation_level=None, check_same_thread=False)
    try:
        lock.execute("BEGIN EXCLUSIVE")
    except sqlite3.OperationalError as error:
        lock.close()
        raise StoreUnavailableError(
            f"Cannot lock {path} ({error}): end the process that uses it, or use another path"
        ) from error
    return lock


def _is_kept(unflushed: str | None) -> bool:
    """Return whether every commit is in the file, although the last process may have died."""
    return unflushed is None or (unflushed != "" and unflushed == _boot())


def _boot() -> str:
    """Return a text that changes with each boot of the machine, "" where there is none."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def _beside(path: Path, reason: str) -> Path:
    moment = datetime.fromtimestamp(time.time(), UTC)
    return path.with_name(f"{path.name}.{reason}-{moment:%Y%m%dT%H%M%S.%fZ}")


def _to_bytes(logged: LoggedEntry) -> bytes:
    encoded = logged.entry.encoded
    if not logged.refused:
        return encoded
    refused = _json.encode(logged.entry.id, [*logged.refused.items()])
    return encoded[:-1] + b',"refused":' + refused + b"}"
