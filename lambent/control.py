"""Control entries: what is not an event but changes the fold enters the log of each partition, and so is replayed."""

from __future__ import annotations

import msgspec

from lambent.calibration import Calibration
from lambent.events import UNDECODABLE, Rejection
from lambent.policy import Rule


class ModelEntry(msgspec.Struct, frozen=True, tag="model", forbid_unknown_fields=True):
    """From here on, sessions that begin run on this model.

    Attributes:
        version: the registry's version, 1 or more.
        folder: where the artifact lies: a path that every worker can read.
        sha256: of the artifact's ``model.json``, which names the hashes of its parts.
    """

    version: int
    folder: str
    sha256: str


class CatalogueEntry(msgspec.Struct, frozen=True, tag="catalogue", forbid_unknown_fields=True):
    """From here on, events are shown with this catalogue.

    Attributes:
        day: at whose start it was so, ``YYYY-MM-DD``.
        path: of its file: one that every worker can read.
        sha256: of the file.
    """

    day: str
    path: str
    sha256: str


class PolicyEntry(msgspec.Struct, frozen=True, tag="policy", forbid_unknown_fields=True):
    """From here on, actions follow from these rules; from none of them no action does.

    Attributes:
        rules: in their order.
    """

    rules: tuple[Rule, ...]


class CalibrationEntry(msgspec.Struct, frozen=True, tag="calibration", forbid_unknown_fields=True):
    """From here on, what a model says is corrected, also in sessions that run. It replaces the correction before it.

    Attributes:
        version: of the model; one that is remembered here.
        calibration: the correction; one that changes nothing takes the one before it back.
    """

    version: int
    calibration: Calibration


class RolloutEntry(msgspec.Struct, frozen=True, tag="rollout", forbid_unknown_fields=True):
    """From here on, a challenger stands beside the champion; it replaces the one before it.

    Attributes:
        model: the challenger; None: from here on there is none. Sessions that run on one finish on it.
        experiment: its name, which decides by lot who gets it; intents name it.
        share: of users whose sessions begin on the challenger, above 0 and at most 1.
        shadow: no session begins on it; it predicts beside the champion for that share, and nobody acts on what it says.
    """

    model: ModelEntry | None = None
    experiment: str = ""
    share: float = 0.0
    shadow: bool = False

    @property
    def problem(self) -> str:
        """Why it cannot be followed; empty: it can."""
        if self.model is not None and not 0 < self.share <= 1:
            return f"a share of {self.share:g} of the users is none"
        return "" if self.model is None or self.experiment else "the experiment has no name"


ControlEntry = ModelEntry | CatalogueEntry | PolicyEntry | CalibrationEntry | RolloutEntry

_decoder = msgspec.json.Decoder(ControlEntry)


def encode_control(entry: ControlEntry) -> bytes:
    """The bytes of a control entry: stream field ``c``."""
    return msgspec.json.encode(entry, order="deterministic")


def decode_control(data: bytes) -> ControlEntry | Rejection:
    """A control entry, or why the bytes are none."""
    try:
        return _decoder.decode(data)
    except UNDECODABLE as error:
        return Rejection("control", str(error))
