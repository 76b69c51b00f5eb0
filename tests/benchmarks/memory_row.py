"""What a live record takes in Valkey."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from lambent.control import encode_control
from lambent.events import encode_event
from realtime import ids
from realtime.commit import EXPIRY_MS
from realtime.replayed import Log, ReplayStore, replay
from realtime.store import Entry, Meta
from tests.benchmarks.report import Row
from tests.benchmarks.shop import DAY_MS, FEATURES, HOUR_MS, PARTITIONS, make_events, pseudonyms
from tests.benchmarks.wire import Wire
from tests.valkey import free_port, start_valkey, stop_valkey
from tests.visitors import load, model_entry

USERS, EVENTS = 10_000, 20
START_MS = 20_000 * DAY_MS
STEP_MS = 60_000


def live_record(folder: Path) -> Row:
    """Users with 20 events each, ten in one hour and ten in the next, as the worker leaves them. A model of random weights
    speaks: its states, and what it says of each event, take the room that a trained one's take.
    """
    store = ReplayStore(Meta(PARTITIONS, HOUR_MS), _logs(), ())
    replay(store, FEATURES, range(PARTITIONS), load, lambda _: None)
    values = [(key, store.values[key]) for key in store.values if key.startswith("live:")]
    (folder / "memory").mkdir()
    valkey = start_valkey(folder / "memory", free_port())
    try:
        wire = Wire(valkey.url)
        before = valkey.client.info("memory")["used_memory"]
        wire.send_all(("SET", key, value, "PX", EXPIRY_MS) for key, value in values)
        held = (valkey.client.info("memory")["used_memory"] - before) / len(values)
        wire.close()
    finally:
        stop_valkey(valkey)
    size = np.mean([len(value) for _, value in values])
    note = f"{EVENTS} events in two tiles and two sessions; the value itself {size:.0f} bytes; goal 800"
    return Row("live record in Valkey, key and overhead included", held, "bytes a user", "<= 1200", "", note)


def _logs() -> dict[int, Log]:
    random = np.random.default_rng(0)
    users = pseudonyms(USERS, random)
    model = (ids.form(START_MS - 1, 0), b"c", encode_control(model_entry(1)))
    entries: dict[int, list[Entry]] = {p: [model] for p in range(PARTITIONS)}
    for turn in range(EVENTS):
        at_ms = START_MS + turn // (EVENTS // 2) * HOUR_MS + turn * STEP_MS
        made = make_events(users, np.arange(USERS), np.full(USERS, at_ms), turn * USERS, random)
        for number, (p, event) in enumerate(made):
            entries[p].append((ids.form(at_ms, number), b"e", encode_event(event)))
    return {p: Log(None, own) for p, own in entries.items()}
