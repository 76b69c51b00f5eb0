"""Sessions of different users seen event by event, all in step: the posterior of their intents."""

from __future__ import annotations

import dataclasses

import numpy as np

from lambent.simulate import evidence, forward
from lambent.simulate.catalogue import NOTHING, grid
from lambent.simulate.forward import Chain, Sight
from lambent.simulate.probabilities import Probabilities
from lambent.simulate.rows import Rows
from lambent.simulate.sessions import end
from lambent.simulate.shoppers import Memory
from lambent.simulate.starts import Starts
from lambent.simulate.steps import Live, look_at, remember
from lambent.simulate.world import BROWSE, PURCHASE, Floats, Ints, World


@dataclasses.dataclass(frozen=True)
class Prior:
    """What is believed of sessions before their first event.

    Attributes:
        starts: when each may have begun: m spans of n sessions, in order.
        kinds: P(type, activity, favourite device; begins in the span), (m, T, A, F).
    """

    starts: Starts
    kinds: Floats


class SessionPass:
    """n sessions, one a user, the longest ones first.

    Attributes:
        kinds: once a session is over: P(what stays hidden, all that was seen of the session), (m, T, A, F), up to a
            factor that its spans share.
    """

    def __init__(self, world: World, tables: Probabilities, memory: Memory, user: Ints, prior: Prior) -> None:
        self._world, self._tables, self._memory = world, tables, memory
        self._sizes = grid(world.parameters.catalogue)
        self._starts, self.kinds = prior.starts, prior.kinds.copy()
        self._rows = np.searchsorted(prior.starts.session, np.arange(len(user) + 1))
        self._live = _unseen(user, memory)
        self._taste = np.ones((len(user), len(tables.kind)))
        self._device = np.full(len(user), NOTHING)
        self._joint = _joint(self.kinds, prior.starts)
        self._chain: Chain | None = None

    def see(self, rows: Rows, left: int) -> Floats:
        """The next event of each session under way, (n,); only the first ``left`` sessions have more events.

        Returns:
            The posterior of the intents, (n, Z).
        """
        session = self._starts.session[: self._rows[len(rows)]]
        new = evidence.is_new(self._live, self._memory, rows)
        chain = self._advance(rows, session)
        self._taste *= evidence.of_type(self._tables, self._sizes, new, rows["about"])
        self._taste /= self._taste.max(axis=1, keepdims=True)
        self._look_at_device(rows, session)
        intent = self._posterior(chain, session)
        self._remember(rows)
        self._finish(chain, left)
        return intent

    def _advance(self, rows: Rows, session: Ints) -> Chain:
        """Move the chain, and bring its probabilities to sum 1 in each session."""
        act = np.maximum(rows["type"].astype(np.int64) - PURCHASE + 1, BROWSE)[session]
        stage = evidence.of_stage(self._tables, self._live, self._memory, rows)[session]
        if self._chain is None:
            self._chain = forward.begin(self._tables, Sight(stage, self._starts.gap, act))
        else:
            gap = evidence.of_gap(self._tables, rows, rows["event_ms"] - self._live.clock_ms)
            forward.advance(self._tables, self._chain, Sight(stage, gap[session], act))
        wrong = (rows["sale"][session] != self._starts.sale[: len(session)]) & evidence.price_is_seen(rows)[session]
        total = np.add.reduceat(np.where(wrong, 0.0, self._chain.total.sum(axis=0)), self._rows[: len(rows)])
        self._chain.scale(np.where(wrong, 0.0, 1.0) / total[session])
        return self._chain

    def _look_at_device(self, rows: Rows, session: Ints) -> None:
        """The first event of a session that says its device changes what is believed of the types."""
        first = evidence.device_is_seen(rows) & (self._device == NOTHING)
        if not first.any():
            return
        self._device = np.where(first, rows["device"], self._device)
        changed = np.flatnonzero(first[session])
        likelihood = np.moveaxis(self._tables.device[:, :, rows["device"][session[changed]]], 2, 0)
        self.kinds[changed] *= likelihood[:, :, None, :]
        self._joint[changed] = self.kinds[changed].sum(axis=(2, 3))[..., None] * self._starts.intent[changed]

    def _posterior(self, chain: Chain, session: Ints) -> Floats:
        """P(intent | seen), (n, Z): browse once the act that decides is done."""
        by_span = np.einsum("mtz,mt->mz", self._joint[: len(session)], self._taste[session]) * chain.total.T
        spans = self._rows[: len(self._live)]
        intent = np.add.reduceat(by_span, spans, axis=0)
        intent /= intent.sum(axis=1, keepdims=True)
        intent[chain.acted[spans]] = np.arange(intent.shape[1]) == BROWSE
        return intent

    def _remember(self, rows: Rows) -> None:
        """What can be read off the events, exactly as the generator keeps it."""
        about = rows["about"].astype(np.int64)
        self._live.clock_ms = rows["event_ms"].copy()
        look_at(self._live, about)
        remember(self._memory, self._live, rows["type"], about)

    def _finish(self, chain: Chain, left: int) -> None:
        """Let go of the sessions that are over, and say what they showed."""
        low, high = self._rows[left], self._rows[len(self._live)]
        if low == high:
            return
        session = self._starts.session[low:high]
        ending = forward.over(self._tables, chain.part(slice(low, high)))
        by_type = np.einsum("mtz,zm->mt", self._starts.intent[low:high], ending) * self._taste[session]
        self.kinds[low:high] *= by_type[:, :, None, None]
        self._live.stage = np.where(np.arange(len(self._live)) < left, 0, self._world.stages + 1)
        end(self._world, self._memory, self._live)
        self._taste, self._device = self._taste[:left], self._device[:left]
        self._chain = chain.part(slice(0, low))


def _unseen(user: Ints, memory: Memory) -> Live:
    """Sessions before their first event, as far as an observer knows of them."""
    n = len(user)
    zeros, nothing = np.zeros(n, dtype=np.int64), np.full(n, NOTHING, dtype=np.int64)
    return Live(
        user=user.astype(np.int64),
        phase=zeros,
        stage=zeros,
        left=zeros,
        events=zeros,
        clock_ms=zeros,
        device=zeros,
        focus=nothing,
        before=nothing,
        anchor=memory.last[user],
        returned=np.zeros(n, dtype=np.bool_),
    )


def _joint(kinds: Floats, starts: Starts) -> Floats:
    """P(type, intent; begins in the span), (m, T, Z)."""
    joint: Floats = kinds.sum(axis=(2, 3))[..., None] * starts.intent
    return joint
