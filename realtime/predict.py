"""Which session runs on which model version, and what the models say, wave by wave."""

from __future__ import annotations

import dataclasses
import functools
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from lambent.calibration import Calibration
from lambent.control import CalibrationEntry, CatalogueEntry, ModelEntry, PolicyEntry, RolloutEntry, decode_control
from lambent.errors import ModelError, StoreError
from lambent.events import Rejection
from lambent.features import FeatureSet
from lambent.fold import Steps
from lambent.policy import Rule, problem_of
from lambent.rollout import arm, is_challenged
from realtime.catalogues import Catalogues
from realtime.logs import fields, get_logger
from realtime.model import LiteRtModel, Model

KEPT = 3
"""Versions that a partition remembers: a session finishes on the one that it began with."""
READ_CONTROLS = 16
"""Control states that are kept as they were read."""
BASE_RATE = "base-rate"
"""What an intent names as its model while there is none."""

log = get_logger("predict")

Load = Callable[[ModelEntry], Model]
Rows = NDArray[np.int64] | slice


class Control(msgspec.Struct, frozen=True):
    """What the control entries up to a partition's position have set; ``control:{p}`` holds it as JSON.

    Attributes:
        models: the newest last; sessions that begin run on it. A challenger is before it.
        catalogue: what events are shown with; None: nothing is known.
        rules: the policy; None: what is shipped.
        calibrations: corrections of remembered models, one each at most.
        rollout: the challenger that stands beside the newest model; None: there is none.
        challenges: how many rollouts there have been, so that the state of one is never taken for another's.
        features: hash of the feature set that the partition's live records are of; no entry sets it, but whoever writes the
            first record, or makes all anew; empty: nobody yet.
    """

    models: tuple[ModelEntry, ...] = ()
    catalogue: CatalogueEntry | None = None
    rules: tuple[Rule, ...] | None = None
    calibrations: tuple[CalibrationEntry, ...] = ()
    rollout: RolloutEntry | None = None
    challenges: int = 0
    features: str = ""

    @property
    def newest(self) -> int:
        """The champion's version; 0: there is none yet."""
        return self.models[-1].version if self.models else 0

    @property
    def challenger(self) -> int:
        """The version that stands beside the champion; 0: none."""
        return self.rollout.model.version if self.rollout and self.rollout.model else 0

    def picks(self, user: str) -> int:
        """Version that a session of this user which begins now runs on; 0: none yet."""
        return (self.rollout and not self.rollout.shadow and self._challenger(user)) or self.newest

    def shadows(self, user: str) -> int:
        """Version that predicts in the shadow of a session of this user which begins now; 0: none."""
        return self._challenger(user) if self.has_shadow else 0

    @property
    def has_shadow(self) -> bool:
        """Whether anything predicts in the shadow."""
        return self.rollout is not None and self.rollout.shadow

    def _challenger(self, user: str) -> int:
        rollout = self.rollout
        challenged = rollout and is_challenged(rollout.experiment, user, rollout.share)
        return self.challenger if challenged else 0

    def arm(self, user: str) -> str:
        """The arm that a user is in; empty: there is no experiment."""
        rollout = self.rollout
        return arm(rollout.experiment, user, rollout.share) if rollout and not rollout.shadow else ""

    @property
    def remembered(self) -> frozenset[int]:
        """Versions that sessions may run on."""
        return frozenset(model.version for model in self.models)

    def correction(self, version: int) -> Calibration | None:
        """How what a version says is corrected; None: it is not."""
        return next((one.calibration for one in self.calibrations if one.version == version), None)


@functools.lru_cache(READ_CONTROLS)
def read_control(data: bytes | None) -> Control:
    """The state in ``control:{p}``, the same object for equal bytes; the empty one where the key is missing.

    Raises:
        StoreError: another version has written it.
    """
    try:
        return msgspec.json.decode(data, type=Control) if data else Control()
    except msgspec.MsgspecError as error:
        cause = f"What the control entries have set cannot be read ({error})."
        raise StoreError(cause, "Another version has written it: run that one here too.") from error


def load_artifact(features: FeatureSet, entry: ModelEntry) -> Model:
    """The model of a control entry, by LiteRT.

    Raises:
        ModelError: see ``LiteRtModel``.
    """
    return LiteRtModel(Path(entry.folder), features, entry.sha256)


class Models:
    """Loaded models by version, and what is said where there is none.

    Args:
        features: the feature set.
        load: loads an artifact; None: LiteRT.
    """

    def __init__(self, features: FeatureSet, load: Load | None = None) -> None:
        self.features = features
        self.failures: Counter[str] = Counter()  # "load", "step", "missing"
        self.catalogues = Catalogues()
        self._load = load or functools.partial(load_artifact, features)
        self._loaded: dict[ModelEntry, Model | None] = {}
        self._base_rates = np.array(features.taxonomy.base_rates)
        self._said_none = False

    def enter(self, control: Control, data: bytes) -> tuple[Control, Rejection | None]:
        """The control state after one more entry. What cannot be loaded leaves the state as it was."""
        entry = decode_control(data)
        if isinstance(entry, Rejection):
            return control, entry
        if isinstance(entry, CatalogueEntry):
            known = self.catalogues.get(entry) is not None
            return (replace(control, catalogue=entry) if known else control), None
        if isinstance(entry, PolicyEntry):
            problem = problem_of(entry.rules, self.features.taxonomy)
            return (control, Rejection("control", problem)) if problem else (replace(control, rules=entry.rules), None)
        if isinstance(entry, CalibrationEntry):
            return self._correct(control, entry)
        if isinstance(entry, RolloutEntry):
            return self._roll_out(control, entry)
        if self.get(entry) is None:
            return control, None
        others = [one for one in control.models if one.version not in (entry.version, control.challenger)]
        beside = [one for one in control.models if one.version == control.challenger != entry.version]
        return _remembering(control, (*others, *beside, entry)), None

    def _roll_out(self, control: Control, entry: RolloutEntry) -> tuple[Control, Rejection | None]:
        """Put a challenger before the newest model, so that it is remembered, and sessions finish on it when it is gone."""
        if entry.problem:
            return control, Rejection("control", entry.problem)
        challenges = control.challenges + 1
        if entry.model is None:
            return replace(control, rollout=None, challenges=challenges), None
        if control.newest in (0, entry.model.version):
            return control, Rejection("control", "a challenger needs another model beside it")
        if self.get(entry.model) is None:
            return control, None
        others = (one for one in control.models if one.version != entry.model.version)
        *older, newest = others
        return _remembering(replace(control, rollout=entry, challenges=challenges), (*older, entry.model, newest)), None

    def _correct(self, control: Control, entry: CalibrationEntry) -> tuple[Control, Rejection | None]:
        if entry.version not in control.remembered:
            return control, Rejection("control", f"no model {entry.version} is remembered here")
        if not entry.calibration.fits(len(self.features.taxonomy.intents)):
            return control, Rejection("control", "the correction is not one of this taxonomy's intents")
        others = tuple(one for one in control.calibrations if one.version != entry.version)
        return replace(control, calibrations=(*others, entry)), None

    def get(self, entry: ModelEntry) -> Model | None:
        """The model of an entry, loaded at first use; None where it cannot be loaded, which is tried once."""
        if entry not in self._loaded:
            self._loaded[entry] = self._try(entry)
        return self._loaded[entry]

    def _try(self, entry: ModelEntry) -> Model | None:
        try:
            model = self._load(entry)
            if model.version != entry.version:
                raise ModelError(f"{entry.folder} holds version {model.version}, not {entry.version}.")
        except Exception as error:  # whatever is wrong with an artifact, events go on being answered
            self.failures["load"] += 1
            log.error(fields("model-not-loadable", version=entry.version, reason=error))
            return None
        log.info(fields("model-loaded", version=entry.version, features=self.features.hash))
        return model

    def keep(self, controls: list[Control]) -> None:
        """Forget the models that no partition remembers; say, once, that there is none at all."""
        if controls and not any(control.models for control in controls) and not self._said_none:
            log.warning(fields("no-model", answers=BASE_RATE, remedy="Train one and register it: lambent train."))
            self._said_none = True
        self.catalogues.keep(control.catalogue for control in controls)
        wanted = {entry for control in controls for entry in control.models}
        self._loaded = {entry: model for entry, model in self._loaded.items() if entry in wanted}

    def base_rates(self, n: int) -> NDArray[np.float64]:
        """[n, intents] what is said without a model."""
        return np.tile(self._base_rates, (n, 1))


def _remembering(control: Control, models: tuple[ModelEntry, ...]) -> Control:
    """The last of these models, and what is said of them; a challenger that has won is none."""
    models = models[-KEPT:]
    kept = {one.version for one in models}
    corrections = tuple(one for one in control.calibrations if one.version in kept)
    rollout = None if control.challenger == models[-1].version else control.rollout
    return replace(control, models=models, calibrations=corrections, rollout=rollout)


@dataclasses.dataclass
class Runs:
    """On which version the sessions of n users run, and their states.

    Attributes:
        models: the loaded models.
        names: [users] pseudonyms.
        controls: [users] the control state of each user's partition.
        version: [users] version that the user's session runs on; 0: none. Changed in place.
        state: [users, 64] changed in place.
    """

    models: Models
    names: list[str]
    controls: list[Control]
    version: NDArray[np.uint32]
    state: NDArray[np.float32]

    @functools.cached_property
    def distinct(self) -> list[Control]:
        """The control states that there are."""
        return list({id(one): one for one in self.controls}.values())

    def answer(self, wave: Steps) -> tuple[NDArray[np.float64], NDArray[np.uint32]]:
        """[m, intents] probabilities and [m] versions that spoke (0: base rates) for one wave."""
        if wave.starts.any():
            self._begin(wave.user[wave.starts], wave.profile)
        probabilities = self.models.base_rates(len(wave.user))
        spoke = np.zeros(len(wave.user), np.uint32)
        for version, rows in _groups(self.version[wave.user]):
            if version and self._step(wave, version, rows, probabilities):
                spoke[rows] = version
        return probabilities, spoke

    def _begin(self, users: NDArray[np.int64], profile: NDArray[np.float32]) -> None:
        self.version[users] = [self.pick(user) for user in users.tolist()]
        self.state[users] = 0
        for version, rows in _groups(self.version[users]):
            model = self._model(version, users[rows][0])
            if model is None:
                continue
            try:
                self.state[users[rows]] = model.start(profile[rows])
            except Exception as error:
                self._failed(version, error)

    def pick(self, user: int) -> int:
        """The version that a session of this user which begins now runs on; 0: none."""
        return self.controls[user].picks(self.names[user])

    def _step(self, wave: Steps, version: int, rows: Rows, probabilities: NDArray[np.float64]) -> bool:
        users = wave.user[rows]
        model = self._model(version, users[0])
        if model is None:
            self.models.failures["missing"] += len(users)
            return False
        try:
            state, said = model.step(self.state[users], wave.ids[rows], wave.floats[rows])
        except Exception as error:
            self._failed(version, error)
            return False
        self.state[users], probabilities[rows] = state, self._corrected(said, version, users)
        return True

    def _corrected(self, said: NDArray[np.float32], version: int, users: NDArray[np.int64]) -> NDArray[Any]:
        """[m, intents] what a version says, by the corrections of the users' partitions."""
        if not any(control.calibrations for control in self.distinct):
            return said
        found = [self.controls[user].correction(version) for user in users.tolist()]
        corrected = said.astype(np.float64)
        for one in set(found) - {None}:
            rows = [row for row, own in enumerate(found) if own == one]
            corrected[rows] = one.correct(said[rows])
        return corrected

    def _model(self, version: int, user: int) -> Model | None:
        entries = (entry for entry in self.controls[user].models if entry.version == version)
        return next((self.models.get(entry) for entry in entries), None)

    def _failed(self, version: int, error: Exception) -> None:
        """A model that fails must not take the events with it: they are folded, and answered with base rates."""
        self.models.failures["step"] += 1
        log.error(fields("model-failed", version=version, reason=error))


def _groups(versions: NDArray[np.uint32]) -> list[tuple[int, Rows]]:
    """Which rows each version has. All the same is what nearly always is, and costs no copies."""
    if len(versions) and (versions == versions[0]).all():
        return [(int(versions[0]), slice(None))]
    return [(int(version), np.flatnonzero(versions == version)) for version in np.unique(versions)]
