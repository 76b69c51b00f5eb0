"""A challenger in the shadow: it predicts beside the model that is answered with, and nobody acts on what it says.

Its states have keys of their own (``shadow:{p}:USER``), which are read and written only while there is a shadow: a partition without
one does nothing for it. What it says goes with the intent, so that it can be scored once the outcome is known.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lambent.fold import Steps
from lambent.records import STATE_WIDTH
from realtime.predict import Control, Models, Runs

KEPT = np.dtype([("challenge", "<u4"), ("events", "<u4"), ("state", "<f4", (STATE_WIDTH,))])
"""What is kept of a user: which challenge the state is of, how many events of the session it has seen, and the state."""


def read_kept(values: Sequence[bytes | None]) -> NDArray[np.void]:
    """[n] of ``KEPT``; zeros where there is nothing, or nothing of this version."""
    blank = bytes(KEPT.itemsize)
    whole = [value if value and len(value) == KEPT.itemsize else blank for value in values]
    return np.frombuffer(b"".join(whole), KEPT).copy()


class ShadowRuns(Runs):
    """What the shadows of n users say.

    Args:
        models: the loaded models.
        names: [users] pseudonyms.
        controls: [users] the control state of each user's partition.
        kept: [users] of ``KEPT``; changed in place.
    """

    def __init__(self, models: Models, names: list[str], controls: list[Control], kept: NDArray[np.void]) -> None:
        super().__init__(models, names, controls, np.zeros(len(names), np.uint32), kept["state"])
        self._kept = kept
        self._challenge = np.array([control.challenges for control in controls], np.uint32)

    def answer(self, wave: Steps) -> tuple[NDArray[np.float64], NDArray[np.uint32]]:
        """[m, intents] probabilities and [m] versions that spoke for one wave; 0: no shadow did, which says nothing."""
        users, kept = wave.user, self._kept
        goes_on = (kept["challenge"][users] == self._challenge[users]) & (
            kept["events"][users] == wave.session_events - 1
        )
        versions = [self.pick(user) for user in users.tolist()]
        self.version[users] = np.where(goes_on, versions, 0)  # of a session that begins it is picked
        kept["challenge"][users] = self._challenge[users]
        said, spoke = super().answer(wave)
        kept["events"][users] = np.where(spoke > 0, wave.session_events, 0)
        return said, spoke

    def pick(self, user: int) -> int:
        """The version that runs in the shadow of this user's sessions; 0: none."""
        return self.controls[user].shadows(self.names[user])

    def written(self, user: int) -> bytes:
        """What is kept of a user from here on; empty: nothing."""
        own = self._kept[user]
        return bytes(own.tobytes()) if own["events"] else b""
