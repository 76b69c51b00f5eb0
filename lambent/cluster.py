"""A connection to the store: to one server, or to all nodes of a Cluster, which the program finds out by itself.

redis-py's own ``RedisCluster`` sends a pipeline's commands again when a connection breaks, whether or not they were done,
and asks the server where each command's keys are. Here a command is sent again only after a node has refused it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import redis
from redis.commands import CoreCommands
from redis.exceptions import ConnectionError, MovedError, RedisError, ResponseError, TimeoutError, WatchError

from lambent.errors import SettingsError
from lambent.routing import REDIRECTS, Queued, Router, Sent, or_raise, settle
from lambent.slots import ASK_SLOTS, Address, Command, joined, pause_s, reads_many, split_read

_Commands: Any = CoreCommands  # redis-py gives types to a part of itself


def connect(url: str, *, raw: bool = False, **options: Any) -> Any:
    """A client of the server, or of the Cluster, that a URL names.

    Args:
        url: redis://, rediss:// or unix://; of a Cluster any node.
        raw: replies are the server's, unparsed.
        options: of redis-py's connections.

    Raises:
        SettingsError: the URL is of no known form. Its text is not repeated, since it may hold a password.
        redis.exceptions.ConnectionError, redis.exceptions.TimeoutError: it cannot be reached.
    """
    client = connect_one(url, raw=raw, **options)
    reply = _ask(client)
    return client if reply is None else Cluster(client, reply, raw=raw)


def connect_one(url: str, *, raw: bool = False, **options: Any) -> Any:
    """A client of the server that a URL names, whatever it belongs to; it connects when it is used."""
    try:
        return (Server if raw else redis.Redis).from_url(url, **options)
    except (ValueError, TypeError) as error:
        raise bad_url() from error


def bad_url() -> SettingsError:
    """What is said of a URL that is none."""
    return SettingsError("LAMBENT_STORE_URL is not a URL of a store.", "Use redis://, rediss:// or unix://.")


def _ask(client: Any) -> Any:
    """Who serves which slot; None from a server that is no Cluster, or does not say so to this user."""
    try:
        return client.execute_command(*ASK_SLOTS)
    except ResponseError:
        return None


def nodes_of(client: Any) -> list[Any]:
    """The clients of all servers that have keys, for what has to be asked of each."""
    return client.nodes() if isinstance(client, Cluster) else [client]


class Server(redis.Redis):
    """redis-py's client of one server, by a shorter way: replies are the server's, and what is sent together is one write.

    redis-py looks at each command for what it may have to do besides, and cuts what it sends into pieces of a few KB, each of
    which wakes the server. Nothing is sent twice.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.response_callbacks.clear()

    def execute_command(self, *command: Any, **options: Any) -> Any:
        """Send one command; its reply."""
        return or_raise(self.run([(command, options)]))[0]

    def pipeline(self, transaction: bool = True, shard_hint: str | None = None) -> Any:
        """Commands that are sent together; as a transaction by redis-py."""
        return super().pipeline(transaction, shard_hint) if transaction else Pipeline(self)

    def run(self, queue: Sequence[Queued]) -> list[Any]:
        """Send commands together; their replies in order, an error being a reply too."""
        line: Any = self.connection_pool.get_connection()
        try:
            line.send_packed_command([b"".join([part for command, _ in queue for part in line.pack_command(*command)])])
            return [_read_reply(line) for _ in queue]
        except BaseException:  # what is still to come would be taken for the reply to something else
            line.disconnect()
            raise
        finally:
            self.connection_pool.release(line)


class Cluster(_Commands):  # type: ignore[misc]
    """All nodes of a Cluster behind one client, with redis-py's commands. Any number of threads may share it.

    A slot that moves is followed. A node that is gone raises what redis-py raises, and nothing is sent twice; who serves
    what is asked again before the next command.

    Args:
        first: a client of any node.
        reply: its reply to ``ASK_SLOTS``.
        raw: as for ``connect``.
    """

    def __init__(self, first: Any, reply: Any, *, raw: bool = False) -> None:
        self._pool, self._raw = first.connection_pool, raw
        named = self._pool.connection_kwargs
        self._first: Address = (named["host"], named["port"])
        self._clients: dict[Address, Any] = {self._first: first}
        self._router = Router(reply, self._first)

    def execute_command(self, *command: Any, **options: Any) -> Any:
        """Send one command; its reply."""
        if reads_many(command):
            return self._read(command)
        return or_raise(self.run([(command, options)]))[0]

    def pipeline(self, transaction: bool = False) -> Pipeline:
        """Commands that are sent together, to each node those that are its own.

        Raises:
            ValueError: as a transaction, which lies on one node: use ``transaction``.
        """
        if transaction:
            raise ValueError("a transaction lies on one node: use transaction()")
        return Pipeline(self)

    def transaction(self, make: Callable[[Any], Any], *watches: str) -> Any:
        """As redis-py's, on the node that has the first of these keys."""
        while True:
            self._refresh_if_stale()
            with self.client(self._router.owner(watches[0])).pipeline(transaction=True) as pipeline:
                try:
                    pipeline.watch(*watches)
                    make(pipeline)
                    return pipeline.execute()
                except WatchError:
                    continue
                except MovedError as error:
                    self._router.slots.move(error.slot_id, (error.host or self._first[0], error.port))

    def scan_iter(self, match: str | None = None, count: int | None = None) -> Iterator[bytes]:
        """The keys of all nodes."""
        for node in self.nodes():
            yield from node.scan_iter(match=match, count=count)

    def nodes(self) -> list[Any]:
        """The clients of the nodes that serve slots."""
        self._refresh_if_stale()
        return [self.client(address) for address in self._router.slots.primaries]

    def client(self, address: Address) -> Any:
        """The client of one node."""
        client = self._clients.get(address)
        if client is None:
            named = {**self._pool.connection_kwargs, "host": address[0], "port": address[1]}
            pool = redis.ConnectionPool(connection_class=self._pool.connection_class, **named)
            client = Server(connection_pool=pool) if self._raw else redis.Redis(connection_pool=pool)
            client = self._clients.setdefault(address, client)
        return client

    def close(self) -> None:
        """Close all connections."""
        for client in list(self._clients.values()):
            client.connection_pool.disconnect()

    def __enter__(self) -> Cluster:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def run(self, queue: Sequence[Queued]) -> list[Any]:
        """Send commands to their nodes; their replies in order, an error being a reply too."""
        self._refresh_if_stale()
        replies: list[Any] = [None] * len(queue)
        sent = self._router.plan(queue)
        for _ in range(REDIRECTS):
            self._exchange(queue, sent, replies)
            sent = self._router.again(queue, sent, replies)
            if not sent:
                break
        return replies

    def _exchange(self, queue: Sequence[Queued], sent: Sent, replies: list[Any]) -> None:
        """All nodes get theirs before the first is listened to, so that they work at the same time."""
        lines: list[tuple[Any, Any, list[tuple[int, bool]]]] = []
        try:
            for address, rows in sent.items():
                client = self.client(address)
                lines.append((client, client.connection_pool.get_connection(), rows))
                line = lines[-1][1]
                line.send_packed_command(line.pack_commands(_commands(queue, rows)))
            for client, line, rows in lines:
                for row, asking in rows:
                    settle(queue, replies, row, _reply(client, line, queue[row], asking))
        except BaseException:  # what is still to come would be taken for the reply to something else
            self._router.stale = True
            for _, line, _ in lines:
                line.disconnect()
            raise
        finally:
            for client, line, _ in lines:
                client.connection_pool.release(line)

    def _read(self, command: Command) -> list[Any] | None:
        """One ``XREAD`` of several streams: by the same reads of one each, again and again while there is nothing."""
        block_ms, parts = split_read(command)
        queue: list[Queued] = [(part, {}) for part in parts]
        started_s = time.monotonic()
        while True:
            replies = or_raise(self.run(queue))
            elapsed_s = time.monotonic() - started_s
            found = joined(replies)
            if found or elapsed_s * 1000 >= block_ms:
                return found
            time.sleep(pause_s(elapsed_s))

    def _refresh_if_stale(self) -> None:
        if not self._router.stale:
            return
        failed: Exception | None = None
        for address in (*self._router.slots.known, self._first):
            try:
                reply = self.client(address).execute_command(*ASK_SLOTS)
            except (ConnectionError, TimeoutError, RedisError) as error:
                failed = error
                continue
            self._router = Router(reply, address)
            return
        if failed:
            raise failed


def _commands(queue: Sequence[Queued], rows: Iterable[tuple[int, bool]]) -> list[Command]:
    return [part for row, asking in rows for part in ([("ASKING",)] if asking else []) + [queue[row][0]]]


def _reply(client: Any, line: Any, queued: Queued, asking: bool) -> Any:
    command, options = queued
    try:
        if asking:
            line.read_response()
        return client.parse_response(line, command[0], **options)
    except ResponseError as error:
        return error


def _read_reply(line: Any) -> Any:
    try:
        return line.read_response()
    except ResponseError as error:
        return error


class Pipeline(_Commands):  # type: ignore[misc]
    """Commands that are sent together, as redis-py's pipeline has them.

    Args:
        client: who sends them.
    """

    def __init__(self, client: Cluster | Server) -> None:
        self._client = client
        self._queue: list[Queued] = []

    def execute_command(self, *command: Any, **options: Any) -> Pipeline:
        """Send this with the others."""
        self._queue.append((command, options))
        return self

    def execute(self, raise_on_error: bool = True) -> list[Any]:
        """Send them; their replies in order."""
        queue, self._queue = self._queue, []
        replies = self._client.run(queue) if queue else []
        return or_raise(replies) if raise_on_error else replies

    def __len__(self) -> int:
        return len(self._queue)

    def __enter__(self) -> Pipeline:
        return self

    def __exit__(self, *_: object) -> None:
        self._queue.clear()
