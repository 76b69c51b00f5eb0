"""Connections to the store: fakeredis, which runs the commit's own script, behind faults."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Sequence
from typing import Any

import fakeredis
import redis

from realtime.connection import NoWritesError
from tests.world.clock import Killed, World

Command = Sequence[bytes | str | int]
FAULTS = (
    "lost-before",
    "lost-after",
    "lost-midway",
    "killed-before",
    "killed-after",
    "no-writes",
    "slow",
    "frozen",
    "jump",
)
FROZEN_S = 12.0
"""Longer than any lease."""
HOUR_S = 3_600


def server() -> fakeredis.FakeServer:
    """A store in memory."""
    return fakeredis.FakeServer(server_type="valkey")


class Client(fakeredis.FakeRedis):
    """One whose server knows a script's head (``#!lua flags=…``), which fakeredis's Lua does not."""

    def __init__(self, store: fakeredis.FakeServer) -> None:
        super().__init__(server=store, protocol=2, single_connection_client=True)
        self.response_callbacks.clear()
        self._scripts: dict[bytes, bytes] = vars(store).setdefault("scripts", {})  # by the names that Valkey gives them

    def execute_command(self, *command: Any, **options: Any) -> Any:
        """Send a command; scripts without their heads, and by the names that they have so."""
        if command[0] == "INFO":  # which fakeredis does not have
            return b"used_memory:1\r\nmaxmemory:0\r\n"
        if command[0] in ("EVAL", "EVALSHA") or command[:2] == ("SCRIPT", "LOAD"):
            at = 2 if command[0] == "SCRIPT" else 1
            script = self._scripts.get(command[1], b"") if command[0] == "EVALSHA" else _headless(command[at])
            if command[0] == "SCRIPT":
                self._scripts[sha_of(command[2])] = script
            elif command[0] == "EVAL" or script:
                command = ("EVAL", script, *command[2:])
        return super().execute_command(*command, **options)


def _headless(script: bytes) -> bytes:
    head, _, body = script.partition(b"\n")
    return body if head.startswith(b"#!") else script


def sha_of(script: bytes) -> bytes:
    """What Valkey calls a script."""
    return hashlib.sha1(script, usedforsecurity=False).hexdigest().encode()


def connected(store: fakeredis.FakeServer) -> Any:
    """A client that nothing happens to."""
    return Client(store)


@dataclasses.dataclass
class Wire:
    """A process's connection: what ``Store`` asks of a client. Every sending is a point of decision.

    Attributes:
        world: decides.
        client: the store itself.
        risk: of one sending to meet a fault.
        mortal: its process can be killed.
    """

    world: World
    client: Any
    risk: float
    mortal: bool = True

    def execute_command(self, *command: Any) -> Any:
        """Send one command. One that waits does so in the world's time."""
        name, *rest = command
        wait_ms = 0
        if "BLOCK" in rest:
            at = rest.index("BLOCK")
            wait_ms = rest[at + 1]
            del rest[at : at + 2]
        (reply,) = self.send([(name, *rest)])
        if wait_ms and not reply:
            self.world.sleep(wait_ms / 1000)
            (reply,) = self.send([(name, *rest)])
        if isinstance(reply, Exception):
            raise reply
        return reply

    def pipeline(self, transaction: bool) -> Pipeline:
        """Commands to be sent together; none of ours is a transaction."""
        assert not transaction
        return Pipeline(self)

    def send(self, commands: Sequence[Command]) -> list[Any]:
        """Send commands; their replies, errors among them."""
        world = self.world
        world.sleep(world.rng.random() * 0.004)
        names = " ".join(dict.fromkeys(str(command[0]) for command in commands))
        fault = world.rng.choice(FAULTS) if not world.calm and world.rng.random() < self.risk else ""
        world.note(f"{names} ×{len(commands)} {fault}".rstrip())
        return self._meet(fault, commands) if fault else self._do(commands)

    def _do(self, commands: Sequence[Command]) -> list[Any]:
        return [self._one(command) for command in commands]

    def _one(self, command: Command) -> Any:
        try:
            return self.client.execute_command(*command)
        except redis.exceptions.RedisError as error:
            return error

    def _meet(self, fault: str, commands: Sequence[Command]) -> list[Any]:
        before, world = commands, self.world
        if fault.endswith("before"):
            before = ()
        elif fault.endswith("midway"):
            before = commands[: world.rng.randrange(len(commands) + 1)]
        if fault == "no-writes":
            return [NoWritesError("MISCONF no writes") if writes(one) else self._one(one) for one in commands]
        if fault in ("slow", "frozen"):
            world.sleep(FROZEN_S if fault == "frozen" else world.rng.random())
        if fault == "jump":
            world.jump_s = HOUR_S - world.jump_s  # there, and back again
            world.wall_s += 2 * world.jump_s - HOUR_S
        replies = self._do(before)
        if fault.startswith("killed") and self.mortal:
            raise Killed
        if fault.startswith(("lost", "killed")):
            raise redis.exceptions.ConnectionError(fault)
        return replies


class Pipeline:
    """What ``Store`` asks of a pipeline."""

    def __init__(self, wire: Wire) -> None:
        self._wire, self._commands = wire, []  # type: ignore[var-annotated]

    def __len__(self) -> int:
        return len(self._commands)

    def execute_command(self, *command: Any) -> None:
        """Add a command."""
        self._commands.append(command)

    def execute(self, raise_on_error: bool) -> list[Any]:
        """Send them."""
        return self._wire.send(self._commands)


READS = {"GET", "MGET", "XREAD", "XLEN", "XINFO", "XRANGE", "HGETALL", "HGET", "TIME", "PING", "PTTL", "INFO", "ZRANGE"}


def writes(command: Command) -> bool:
    """Whether a store that takes no writes refuses it."""
    return command[0] not in READS


Make = Callable[[], Any]
