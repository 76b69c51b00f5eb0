"""From which probability on to act, chosen on the validation split by a rule that a person can state.

f1         the threshold with the best F1
cost:R     the least cost, where to miss one costs as much as R false alarms
share:S    a share S of the users of the split would be acted on, each at least once
"""

from __future__ import annotations

import argparse
import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


@dataclasses.dataclass(frozen=True)
class Rule:
    """Attributes: ``kind``, f1, cost or share; ``number``, its ratio or share."""

    kind: str = "f1"
    number: float = 0.0

    @classmethod
    def parse(cls, text: str) -> Rule:
        """A rule from the command line.

        Raises:
            argparse.ArgumentTypeError: it is none.
        """
        kind, _, number = text.partition(":")
        try:
            rule = cls(kind, float(number) if number else 0.0)
        except ValueError:
            rule = cls("")
        sound = {"f1": not number, "cost": rule.number > 0, "share": 0 < rule.number < 1}
        if not sound.get(rule.kind, False):
            raise argparse.ArgumentTypeError(f"{text!r}: give f1, cost:R with R > 0, or share:S with 0 < S < 1")
        return rule

    def __str__(self) -> str:
        return self.kind if self.kind == "f1" else f"{self.kind}:{self.number:g}"

    def choose(self, p: Array, hit: Array, user: Array) -> float:
        """The threshold: who has at least this probability is acted on; without a hit or an event, 1.

        Args:
            p, hit, user: [n] what was said of the intent, whether it happened, and whose event it is.
        """
        if not hit.any():
            return 1.0
        if self.kind == "share":
            highest = np.full(int(user.max()) + 1, -1.0)
            np.maximum.at(highest, user, p)
            highest = np.sort(highest[highest >= 0])[::-1]
            return float(highest[max(round(self.number * len(highest)), 1) - 1])
        order = np.argsort(-p, kind="stable")
        found = np.cumsum(hit[order])
        named = np.arange(1, len(p) + 1)
        last_of_tie = np.r_[np.diff(p[order]) != 0, True]
        if self.kind == "f1":
            worth = 2 * found / (named + found[-1])
        else:
            worth = -((named - found) + self.number * (found[-1] - found))
        at = int(np.argmax(np.where(last_of_tie, worth, -np.inf)))
        return float(p[order[at]])
