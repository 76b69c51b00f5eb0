"""The forward pass over the stages of sessions under way, all in step.

A hidden semi-Markov model with explicit tables of durations is a hidden Markov model whose states are (intent, stage,
events that the stage still has): Yu 2010, "Hidden semi-Markov models", section 3, with the residual time. The pass itself
and its scaling are those of Rabiner 1989, "A tutorial on hidden Markov models", sections III.A and V.A.

Z intents, S stages, D events of the longest stage; m rows, one for each span in which a session may have begun.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from lambent.simulate.probabilities import Probabilities
from lambent.simulate.world import AFTER, BROWSE, Floats, Ints, Mask


@dataclasses.dataclass
class Chain:
    """Probability of all that was seen, together with where the chain is.

    Attributes:
        inside: in a stage, (Z, m, S, D): column d has d more events after this one.
        acting: at the act that decides, (Z, m).
        acted: whether the act is done, (m,).
        events: how many there were; the sessions go in step.
    """

    inside: Floats
    acting: Floats
    acted: Mask
    events: int

    @property
    def total(self) -> Floats:
        """P(seen | intent), up to a factor that the rows of a session share, (Z, m)."""
        total: Floats = self.inside.sum(axis=(2, 3)) + self.acting
        return total

    def part(self, rows: slice) -> Chain:
        """Some rows alone."""
        return Chain(self.inside[:, rows], self.acting[:, rows], self.acted[rows], self.events)

    def scale(self, factor: Floats) -> None:
        """Multiply the rows, (m,)."""
        self.inside *= factor[:, None, None]
        self.acting *= factor


@dataclasses.dataclass(frozen=True)
class Sight:
    """What an event shows of each row.

    Attributes:
        stage: P(act, product, query | stage), (m, S).
        gap: P(time, dwell | class of dwell), (m, K).
        act: the intent whose act it is, ``BROWSE`` where it is none, (m,).
    """

    stage: Floats
    gap: Floats
    act: Ints


def begin(tables: Probabilities, sight: Sight) -> Chain:
    """The chain at the first event, which is never the act that decides."""
    z, m = len(tables.goes_on), len(sight.act)
    seen = sight.stage * (sight.gap @ tables.dwell[:-1].T)
    start = tables.initial[:AFTER, None] * seen
    return Chain(start[..., None] * tables.length, np.zeros((z, m)), np.zeros(m, dtype=np.bool_), 1)


def advance(tables: Probabilities, chain: Chain, sight: Sight) -> None:
    """Move the chain by one event."""
    inside, acting = _predict(tables, chain)
    decisive = sight.act != BROWSE
    by_stage = np.where(decisive[:, None], 0.0, sight.stage * (sight.gap @ tables.dwell[:-1].T))
    by_act = (sight.act == np.arange(len(acting))[:, None]) & decisive
    inside *= by_stage[..., None]
    chain.inside = inside
    chain.acting = acting * by_act * (sight.gap @ tables.dwell[-1])
    chain.acted = chain.acted | decisive
    chain.events += 1


def over(tables: Probabilities, chain: Chain) -> Floats:
    """P(seen, and the session ends here | intent), (Z, m)."""
    stays = 0.0 if chain.events >= tables.max_events else tables.goes_on[:, None]
    ending: Floats = _moves(tables, chain)[..., -1] + chain.acting * (1.0 - stays)
    return ending


def _predict(tables: Probabilities, chain: Chain) -> tuple[Floats, Floats]:
    """The next event's place: (Z, m, S, D) in a stage, and (Z, m) at the act."""
    moves = _moves(tables, chain)
    if chain.events >= tables.max_events:
        return np.zeros_like(chain.inside), moves[..., -2]
    afterwards = (chain.acting * tables.goes_on[:, None])[..., None] * tables.initial[AFTER]
    inside = (moves[..., :-2] + afterwards)[..., None] * tables.length
    inside[..., :-1] += chain.inside[..., 1:]
    return inside, moves[..., -2]


def _moves(tables: Probabilities, chain: Chain) -> Floats:
    """Where the chains go that leave their stage, (Z, m, S + 2)."""
    if chain.events >= tables.max_events:
        return _forced(chain, len(tables.initial[0]))
    leaving = chain.inside[..., 0]
    before, after = leaving @ tables.following[:AFTER], leaving @ tables.following[AFTER]
    moves: Floats = np.where(chain.acted[:, None], after, before)
    return moves


def _forced(chain: Chain, stages: int) -> Floats:
    """A session that is too long goes to its act, or ends where it has none to come, (Z, m, S + 2)."""
    total = chain.inside.sum(axis=(2, 3))
    acts = (np.arange(len(total))[:, None] != BROWSE) & ~chain.acted
    moves = np.zeros((*total.shape, stages + 2))
    moves[..., -2], moves[..., -1] = np.where(acts, total, 0.0), np.where(acts, 0.0, total)
    return moves
