"""The connection of a log to its Redis server."""

import asyncio
import re
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from ..errors import StoreUnavailableError
from ..stores._redis_client import ServerAddress

# Seconds to wait for an answer.
ANSWER_SECONDS = 3.0
OLDEST_VERSION = (7, 0)


class RedisLink:
    """One connection to a server, which is never replaced by one to another server.

    Attributes:
        run_id: The name of the process of the server.
    """

    def __init__(self, connection: Any, server: str) -> None:
        self._connection, self._server = connection, server
        self.run_id = ""

    @classmethod
    async def open(cls, server: ServerAddress) -> "RedisLink":
        """Connect to a server.

        Raises:
            StoreUnavailableError: It does not answer, or is too old.
        """
        # Importing it takes longer than everything else.
        from redis.asyncio import ConnectionPool

        pool: Any = ConnectionPool  # its annotations do not declare the options
        # `ask()` has a limit of its own; that of redis-py costs a task for each command.
        pool = pool.from_url(server.url, protocol=2, socket_timeout=None)
        link = cls(pool.make_connection(), server.place)
        try:
            info = (await link.ask("INFO", "server", is_first=True)).decode()
            version = re.search(r"^redis_version:((\d+)\.(\d+)\S*)", info, re.MULTILINE)
            run_id = re.search(r"^run_id:(\w+)", info, re.MULTILINE)
            if not version or not run_id:
                raise StoreUnavailableError(f"{server.place} is not a Redis or Valkey server")
            if (int(version[2]), int(version[3])) < OLDEST_VERSION:
                raise StoreUnavailableError(
                    f"{server.place} runs Redis {version[1]}, and a log needs 7.0: upgrade it"
                )
        except BaseException:
            await link.close()
            raise
        link.run_id = run_id[1]
        return link

    async def ask(self, *words: str | int | bytes, is_first: bool = False) -> Any:
        """Send a command, and return the answer.

        Raises:
            StoreUnavailableError: There is none, or it is an error. Close the link.
        """
        from redis.exceptions import RedisError

        connection = self._connection
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                if is_first:
                    await connection.connect()
                if not connection.is_connected:  # it would connect again by itself
                    raise StoreUnavailableError("the connection was closed")
                await connection.send_command(*words)
                answer = await connection.read_response()
        except TimeoutError as error:
            message = f"{self._server}: no answer in {ANSWER_SECONDS:g} s"
            raise StoreUnavailableError(message) from error
        except RedisError as error:
            raise StoreUnavailableError(f"{self._server}: {str(error).rstrip('.')}") from error
        return answer

    async def transact(self, *commands: Sequence[str | bytes]) -> Any:
        """Run commands as one, and return their answers; None if a watched key has changed."""
        for words in (("MULTI",), *commands):
            await self.ask(*words)
        return await self.ask("EXEC")

    async def close(self) -> None:
        """Disconnect."""
        with suppress(OSError):
            await self._connection.disconnect(nowait=True)
