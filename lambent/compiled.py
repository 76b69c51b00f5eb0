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

from lambent import (
    aggregates,
    catalogue,
    encoding,
    events,
    kernel,
    last_packing,
    monoid,
    packing,
    profile,
    record_packing,
    sessions,
    showing,
    views,
)
from lambent.encoding import TEXT_FIELDS
from lambent.views import Arrays

_MODULES = (
    kernel,
    monoid,
    packing,
    last_packing,
    record_packing,
    showing,
    views,
    sessions,
    profile,
    encoding,
    aggregates,
    catalogue,
    events,
)


def cache_folder() -> Path:
    """Where the code is kept: beside the source, or in the user's cache where that cannot be written."""
    sources = [Path(__file__), *(Path(str(module.__file__)) for module in _MODULES)]
    digest = hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()[:16]
    home = os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()
    for folder in (Path(__file__).with_name("__pycache__"), Path(home) / "lambent"):
        with contextlib.suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
            if os.access(folder, os.W_OK):
                return folder / f"fold-{digest}"
    return Path(tempfile.mkdtemp(prefix="lambent-"))


def compiled(signature: Any, *, nogil: bool = True) -> Callable[[Callable[..., Any]], Any]:
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
_U8, _U1_2 = _array(types.uint64), types.Array(types.uint8, 2, "C", readonly=False)
_I8_2, _F8_2, _F4_2 = _array(types.int64, 2), _array(types.float64, 2), _array(types.float32, 2)
_ROWS, _BYTES = types.int64[:, ::1], types.Array(types.uint8, 1, "C", readonly=True)
_PROGRAM = types.Tuple((_I8_2, _I8, _F8, _I8, _I8_2, _I8, _I8_2, _I8, types.int64, types.int64, types.int64))
_EVENTS = types.Tuple(
    (
        _I8,
        _I8,
        _U1,
        _BOOL,
        _BOOL,
        _BOOL,
        _BOOL,
        _I8,
        _F8,
        _F8,
        _F4_2,
        types.UniTuple(_array(types.uint32), len(TEXT_FIELDS)),
    )
)
_PROFILES = types.Tuple((_I8, _I8_2, _F8_2, _I8_2, _I8_2, _array(types.int8, 2), _I8_2, _I8_2))
_U4 = _array(types.uint32)
_SESSIONS = types.Tuple((_I8, _I8, _I8, _U4, _array(types.uint16, 2), _U8, _U8, _U4, _U4))
_TILES = types.Tuple((_I8, _I8, _I8, _I8, _I8, _I8, _PROFILES))
_STEPS = types.Tuple((_BOOL, _array(types.int32, 2), _array(types.float32, 2), _array(types.uint32), _I8, _PROFILES))


@compiled(types.void(_I8, _I8, _I8, _BOOL, _BOOL, _I8, _BOOL))
def mark(clock_ms: Any, user: Any, t_ms: Any, opens: Any, late: Any, clocks_ms: Any, expired: Any) -> None:
    """``kernel.mark``."""
    kernel.mark(clock_ms, user, t_ms, opens, late, clocks_ms, expired)


@compiled(types.void(_PROGRAM, _I8, _EVENTS, _BOOL, _PROFILES))
def fold_profiles(program: Arrays, user: Any, events: Arrays, expired: Any, profiles: Arrays) -> None:
    """``kernel.fold_profiles``."""
    kernel.fold_profiles(views.Program(*program), user, views.Events(*events), expired, views.Profiles(*profiles))


@compiled(types.void(types.Tuple((_F8, _I8, _I8, _I8, _I8, _I8_2)), _PROFILES, _I8, _F4_2))
def show_profiles(shown: Arrays, profiles: Arrays, clock_ms: Any, into: Any) -> None:
    """``showing.show_profiles``."""
    showing.show_profiles(views.Shown(*shown), views.Profiles(*profiles), clock_ms, into)


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
        views.Tiles(tiles[0], tiles[1], tiles[2], tiles[3], tiles[4], tiles[5], views.Profiles(*tiles[6])),
        views.Steps(steps[0], steps[1], steps[2], steps[3], steps[4], views.Profiles(*steps[5])),
    )  # fmt: skip


@compiled(types.void(_ROWS, _I8, types.boolean, _PROFILES, _I8, types.uint8[::1], types.int64[::1]), nogil=True)
def pack_profiles(parts: Any, order: Any, double: bool, profiles: Arrays, rows: Any, packed: Any, ends: Any) -> None:
    """``packing.pack_profiles``."""
    packing.pack_profiles(parts, order, double, views.Profiles(*profiles), rows, packed, ends)


@compiled(types.int64(_ROWS, _I8, types.boolean, _BYTES, _I8, _I8, _I8, _PROFILES), nogil=True)
def unpack_profiles(
    parts: Any, order: Any, double: bool, packed: Any, begins: Any, ends: Any, rows: Any, profiles: Arrays
) -> int:
    """``packing.unpack_profiles``."""
    return packing.unpack_profiles(parts, order, double, packed, begins, ends, rows, views.Profiles(*profiles))


_RECORDS = (_BYTES, _I8, _I8)
_TEXTS = types.UniTuple(_array(types.uint32), len(TEXT_FIELDS))
_LAST = types.Tuple((_I8, _I8, _U1, _BOOL, _BOOL, _BOOL, _BOOL, _F8, _F8, _TEXTS, _array(types.uint16, 2)))
_PACKED_TILES = types.UniTuple(_I8, 5)


@compiled(types.int64(*_RECORDS, _I8, _I8, _I8, _I8))
def count_parts(packed: Any, begins: Any, ends: Any, sizes: Any, ids: Any, last: Any, tiles: Any) -> int:
    """``record_packing.count_parts``."""
    return record_packing.count_parts(packed, begins, ends, sizes, ids, last, tiles)


@compiled(types.int64(*_RECORDS, _I8, _I8, _I8, types.int64, types.int64, _U1_2, _U8, _LAST, _PACKED_TILES))
def take_apart(
    packed: Any, begins: Any, ends: Any, counts_of_ids: Any, counts_of_last: Any, counts_of_tiles: Any, kinds: int,
    sparse: int, fixed: Any, ids: Any, last: Arrays, tiles: Arrays,
) -> int:  # fmt: skip
    """``record_packing.take_apart``."""
    return record_packing.take_apart(
        packed, begins, ends, counts_of_ids, counts_of_last, counts_of_tiles, kinds, sparse, fixed, ids,
        views.Last(*last), views.PackedTiles(*tiles),
    )  # fmt: skip


@compiled(
    types.void(_BYTES, types.int64, _U1_2, _U8, _I8, _LAST, _I8, _PACKED_TILES, types.uint8[::1], types.uint8[::1], _I8)
)
def put_together(
    head: Any, sparse: int, fixed: Any, ids: Any, counts_of_ids: Any, last: Arrays, counts_of_last: Any, tiles: Arrays,
    tile_bytes: Any, packed: Any, ends: Any,
) -> None:  # fmt: skip
    """``record_packing.put_together``."""
    record_packing.put_together(
        head, sparse, fixed, ids, counts_of_ids, views.Last(*last), counts_of_last, views.PackedTiles(*tiles),
        tile_bytes, packed, ends,
    )  # fmt: skip


@compiled(types.void(_I8, _I8, _I8, _BOOL))
def find_listed(user: Any, events: Any, counts_of_last: Any, listed: Any) -> None:
    """``record_packing.find_listed``."""
    record_packing.find_listed(user, events, counts_of_last, listed)


@compiled(types.void(_PROGRAM, _LAST, _I8, _I8, _I8, _PROFILES))
def fold_last(program: Arrays, last: Arrays, begins: Any, ends: Any, rows: Any, profiles: Arrays) -> None:
    """``last_packing.fold_last``."""
    last_packing.fold_last(views.Program(*program), views.Last(*last), begins, ends, rows, views.Profiles(*profiles))


@compiled(types.void(_I8, _I8, _F8_2, _F8, _F4_2, _F8_2))
def find_change(user: Any, session_events: Any, now: Any, base_rates: Any, said: Any, change: Any) -> None:
    """``last_packing.find_change``."""
    last_packing.find_change(user, session_events, now, base_rates, said, change)


@compiled(types.void(_U4, _F4_2, _U4, _F4_2))
def look_up(hashes: Any, values: Any, wanted: Any, found: Any) -> None:
    """``kernel.look_up``."""
    kernel.look_up(hashes, values, wanted, found)


@compiled(types.void(_U8, _I8, _I8, _U8, _BOOL))
def find_copies(ids: Any, counts: Any, user: Any, new: Any, copies: Any) -> None:
    """``record_packing.find_copies``."""
    record_packing.find_copies(ids, counts, user, new, copies)


@compiled(types.int64(_U1_2, _I8, _I8, _U1_2, _I8, _U1_2, _I8))
def add_newest(rows: Any, counts: Any, user: Any, new: Any, most: Any, kept: Any, kept_counts: Any) -> int:
    """``record_packing.add_newest``."""
    return record_packing.add_newest(rows, counts, user, new, most, kept, kept_counts)
