"""The exact posterior of each event's intent, given all that could be seen of its shopper so far.

Between sessions there is a belief about what is hidden and stays: type, activity, favourite device; and about the slot
that the newest session was drawn for. Within a session a forward pass runs for each intent. The two meet in the
probability of the intent given the type, so that the pass need not know of types.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from lambent.simulate.probabilities import probabilities
from lambent.simulate.rows import Rows
from lambent.simulate.session_pass import Prior, SessionPass
from lambent.simulate.shoppers import no_memory
from lambent.simulate.starts import Starts, find_starts
from lambent.simulate.timetable import make_timetable
from lambent.simulate.world import SESSION_GAP_MS, Floats, Ints, World

_BATCH = 1000  # sessions, so that their chains stay in the processor's cache
_LAGS = 2  # a session's slot is that of its first event, or the one before


@dataclasses.dataclass(frozen=True)
class Truth:
    """Events and what was to be expected after each.

    Attributes:
        rows: the events, by user and time, (n,).
        session: number of the session among the user's, from 0, (n,).
        intent: probability of each intent, (n, Z).
    """

    rows: Rows
    session: Ints
    intent: Floats


class Observer:
    """Sees the events of persons, whole sessions at a time, and says what was to be expected after each.

    What is seen: times, acts, products, queries, and dwell, device and price where the producer did not leave them out;
    also that there was no session between two, the catalogue, and the product of each consult. Not seen: when a session
    began, other than by its first event. Needs some 700 bytes a user.
    """

    def __init__(self, world: World, users: int, first_ms: int, days: int, shift: int | None = None) -> None:
        self._world, self._tables = world, probabilities(world)
        self._timetable = make_timetable(world, self._tables, first_ms, days, shift)
        self._memory = no_memory(users)
        self._belief = np.zeros((users, _LAGS, *self._tables.kind.shape))
        self._belief[:, 0] = self._tables.kind
        self._slot = np.full(users, -1)
        self._sessions = np.zeros(users, dtype=np.int64)

    def observe(self, rows: Rows) -> Truth:
        """The truth of sound, distinct events, (n,): sessions in full, and none before one that was observed already."""
        rows = rows[np.lexsort((rows["event_ms"], rows["user"]))]
        first, count, turn = _sessions(rows)
        truth = Truth(rows, np.empty(len(rows), dtype=np.int64), np.empty((len(rows), len(self._tables.goes_on))))
        for number in range(int(turn.max(initial=-1)) + 1):
            chosen = np.flatnonzero(turn == number)
            chosen = chosen[np.argsort(-count[chosen], kind="stable")]
            for batch in np.split(chosen, range(_BATCH, len(chosen), _BATCH)):
                self._round(truth, first[batch], count[batch])
        return truth

    def _round(self, truth: Truth, first: Ints, count: Ints) -> None:
        """One session of each user, the longest ones first: those still under way are always the first ones."""
        rows = truth.rows[first]
        user, slot = rows["user"], self._timetable.slot_of(rows["event_ms"])
        starts = find_starts(self._world, self._tables, self._timetable, self._memory, rows)
        batch = SessionPass(self._world, self._tables, self._memory, user, Prior(starts, self._kinds(user, starts)))
        for step in range(int(count.max(initial=0))):
            under_way = int(np.searchsorted(-count, -step))
            position = first[:under_way] + step
            truth.intent[position] = batch.see(truth.rows[position], int((count > step + 1).sum()))
            truth.session[position] = self._sessions[user[:under_way]]
        self._sessions[user] += 1
        self._learn(user, slot, starts, batch.kinds)

    def _kinds(self, user: Ints, starts: Starts) -> Floats:
        """P(what stays hidden, the session begins in the span), (m, T, A, F)."""
        own = user[starts.session]
        kinds = np.zeros((len(own), *self._tables.kind.shape))
        for lag in range(_LAGS):
            before = self._slot[own] - lag
            kinds += self._belief[own, lag] * self._timetable.none_between(before, starts.slot)[..., None]
        visit = self._timetable.visit[starts.slot] * starts.hour[:, :, None]
        result: Floats = kinds * visit[..., None]
        return result

    def _learn(self, user: Ints, slot: Ints, starts: Starts, kinds: Floats) -> None:
        """Keep what the sessions showed, ``kinds`` (m, T, A, F), by the lag of each span's slot."""
        belief = np.zeros((len(user), *self._belief.shape[1:]))
        np.add.at(belief, (starts.session, slot[starts.session] - starts.slot), kinds)
        self._belief[user] = belief / belief.sum(axis=(1, 2, 3, 4), keepdims=True)
        self._slot[user] = slot


def _sessions(rows: Rows) -> tuple[Ints, Ints, Ints]:
    """Sessions of rows by user and time: position of the first event, number of events, number among the user's here."""
    if not len(rows):
        nothing = np.zeros(0, dtype=np.int64)
        return nothing, nothing, nothing
    new_user = np.diff(rows["user"], prepend=-1) != 0
    opens = new_user | (np.diff(rows["event_ms"], prepend=0) > SESSION_GAP_MS)
    first = np.flatnonzero(opens)
    before = np.arange(len(first))
    turn = before - np.maximum.accumulate(np.where(new_user[first], before, 0))
    return first, np.diff(first, append=len(rows)), turn
