"""The fold's loops, compiled: the machine code is made once, when this is first imported, and kept.

Signatures are written out, since of an array of one row Numba would think that it is contiguous, and compile anew for it.
Arguments are plain tuples in the order of ``views``'s, since of those alone the arrays may be less special than said.
Numba does not see that another file has changed, so the code is kept under a name that changes with all that it is from.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
from numba import njit, types

from lambent import aggregates, catalogue, encoding, kernel, monoid, packing, sessions, views
from lambent.encoding import TEXT_FIELDS
from lambent.views import Arrays


def cache_folder() -> Path:
    """Where the code is kept: beside the source, or in the user's cache where that cannot be written."""
    sources = [
        Path(__file__),
        *(
            Path(str(module.__file__))
            for module in (kernel, monoid, packing, views, sessions, encoding, aggregates, catalogue)
        ),
    ]
    digest = hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()[:16]
    home = os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()
    for folder in (Path(__file__).with_name("__pycache__"), Path(home) / "lambent"):
        with contextlib.suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
            if os.access(folder, os.W_OK):
                return folder / f"fold-{digest}"
    return Path(tempfile.mkdtemp(prefix="lambent-"))


def compiled(signature: Any, *, nogil: bool = False) -> Callable[[Callable[..., Any]], Any]:
    """Compile a function for one signature, or load what was compiled before; ``nogil``: others may run beside it."""

    def compile_or_load(function: Callable[..., Any]) -> Any:
        before, numba.config.CACHE_DIR = numba.config.CACHE_DIR, str(CACHE)
        try:
            return njit(signature, cache=True, nogil=nogil)(function)
        finally:
            numba.config.CACHE_DIR = before

    return compile_or_load


CACHE = cache_folder()


def _array(of: types.Type, dimensions: int = 1) -> types.Array:
    """Any view, also of a field of a packed structured array."""
    return types.Array(of, dimensions, "A", aligned=False)


_U1, _I8, _F8, _BOOL = _array(types.uint8), _array(types.int64), _array(types.float64), _array(types.boolean)
_I8_2, _F8_2, _F4_2 = _array(types.int64, 2), _array(types.float64, 2), _array(types.float32, 2)
_ROWS = types.int64[:, ::1]
_PROGRAM = types.Tuple((_I8_2, _I8, _F8, _I8, _I8_2, _I8_2, _I8, _I8_2, _I8, types.int64))
_EVENTS = types.Tuple(
    (
        _I8,
        _I8,
        _U1,
        _BOOL,
        _BOOL,
        _F8,
        _F8,
        _F4_2,
        types.UniTuple(_array(types.uint32), len(TEXT_FIELDS)),
    )
)
_PROFILES = types.Tuple((_I8, _I8_2, _F8_2, _I8_2, _I8_2, _array(types.int8, 2), _I8_2, _I8_2))
_SESSIONS = types.Tuple(
    (_I8, _I8, _I8, _array(types.uint32), _array(types.uint16, 2), _array(types.uint64), _array(types.uint64))
)
_TILES = types.Tuple((_I8, _I8, _I8, _I8, _PROFILES))
_STEPS = types.Tuple((_BOOL, _array(types.int32, 2), _array(types.float32, 2), _array(types.uint32), _I8, _PROFILES))


@compiled(types.void(_I8, _I8, _I8, _BOOL, _BOOL, _BOOL))
def mark(clock_ms: Any, user: Any, t_ms: Any, opens: Any, late: Any, expired: Any) -> None:
    """``kernel.mark``."""
    kernel.mark(clock_ms, user, t_ms, opens, late, expired)


@compiled(types.void(_PROGRAM, _I8, _EVENTS, _BOOL, _PROFILES))
def fold_profiles(program: Arrays, user: Any, events: Arrays, expired: Any, profiles: Arrays) -> None:
    """``kernel.fold_profiles``."""
    kernel.fold_profiles(views.Program(*program), user, views.Events(*events), expired, views.Profiles(*profiles))


@compiled(types.void(_PROGRAM, _PROFILES, _I8, _PROFILES))
def merge_profiles(program: Arrays, into: Arrays, to: Any, other: Arrays) -> None:
    """``kernel.merge_profiles``."""
    kernel.merge_profiles(views.Program(*program), views.Profiles(*into), to, views.Profiles(*other))


@compiled(
    types.UniTuple(types.int64, 2)(
        _PROGRAM, _I8, _EVENTS, _BOOL, types.int64, _SESSIONS, _PROFILES, _PROFILES, _TILES, _STEPS
    )
)
def fold_steps(
    program: Arrays, user: Any, events: Arrays, expired: Any, tile_ms: int, sessions: Arrays, base: Arrays, tile: Arrays,
    tiles: Arrays, steps: Arrays,
) -> tuple[int, int]:  # fmt: skip
    """``kernel.fold_steps``."""
    return kernel.fold_steps(
        views.Program(*program), user, views.Events(*events), expired, tile_ms,
        views.Sessions(*sessions), views.Profiles(*base), views.Profiles(*tile),
        views.Tiles(tiles[0], tiles[1], tiles[2], tiles[3], views.Profiles(*tiles[4])),
        views.Steps(steps[0], steps[1], steps[2], steps[3], steps[4], views.Profiles(*steps[5])),
    )  # fmt: skip


@compiled(types.void(_ROWS, _I8, _ROWS, types.uint8[::1], types.int64[::1]), nogil=True)
def pack_rows(parts: Any, clock_ms: Any, codes: Any, packed: Any, ends: Any) -> None:
    """``packing.pack_rows``."""
    packing.pack_rows(parts, clock_ms, codes, packed, ends)


@compiled(types.int64(_ROWS, types.Array(types.uint8, 1, "C", readonly=True), types.int64[::1], _I8, _ROWS), nogil=True)
def unpack_rows(parts: Any, packed: Any, ends: Any, clock_ms: Any, codes: Any) -> int:
    """``packing.unpack_rows``."""
    return packing.unpack_rows(parts, packed, ends, clock_ms, codes)
