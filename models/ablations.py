"""The network trained anew without a part of what it sees: what that part is worth, and whether it pays.

What is hidden is 0 in all splits, as if it had never been known. Network, options and calibration are those of the staged model;
one process trains, with one seed, so that a difference has the chance of a training in it besides that of the users drawn.
"""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from lambent.aggregates import Decayed, Latest
from lambent.features import FeatureSet
from lambent.groups import GROUPS
from models.artifact import STAGING, Artifact
from models.dataset import Sessions, TrainingTable
from models.forms import FLOAT32
from models.horovod_runner import run_single
from models.importance import STEP_GROUPS, Inputs, input_groups
from models.scored import Predict
from models.train import Job, run_rank

ATTRIBUTES = ("category_", "brand_", "bought_categories_")
"""How floats begin that cannot be had without categories and brands."""


def ablated(table: TrainingTable, features: FeatureSet, train: Mapping[str, Any]) -> dict[str, Predict]:
    """The network without each of ``hidden_inputs``; a training each.

    Args:
        table: what is trained on, and features: what it has.
        train: how the staged model was trained, as its description says.
    """
    return {name: _trained(table, inputs, features, train) for name, inputs in hidden_inputs(features).items()}


def hidden_inputs(features: FeatureSet) -> dict[str, Inputs]:
    """By what is missing, the inputs that are hidden.

    no profile      what was known when the session began, and what a step asks of it
    no session      what happens in the session; how many events there were is still seen
    no decay        all that fades as time goes by: how long ago things were, decayed sums, what is looked at usually costs
    no attributes   what is told of events and users besides who did what when: categories, brands, prices, devices, words, facts
    """
    told = [GROUPS[name] for name in ("prices", "tastes", "facts")] + [STEP_GROUPS["ids"], STEP_GROUPS["price"]]
    attributes = _of(features, told)
    attributes.floats.extend(_floats(features, lambda name: name.startswith(ATTRIBUTES)))
    return {
        "no profile": _of(features, [*GROUPS.values(), STEP_GROUPS["memory"]]),
        "no session": _of(features, STEP_GROUPS.values()),
        "no decay": _fading(features),
        "no attributes": attributes,
    }


def _of(features: FeatureSet, names: Iterable[str]) -> Inputs:
    """The inputs of some groups of ``importance``."""
    groups, found = input_groups(features), Inputs()
    for one in (groups[name] for name in names if name in groups):
        found.profile.extend(one.profile)
        found.ids.extend(one.ids)
        found.floats.extend(one.floats)
    return found


def _floats(features: FeatureSet, wanted: Callable[[str], bool]) -> list[int]:
    return [at for at, name in enumerate(features.step_floats) if wanted(name)]


def _fading(features: FeatureSet) -> Inputs:
    """What the profile's clock lets fade."""
    fading = [one for one in features.profile.aggregates if isinstance(one, Decayed | Latest)]
    names = {name for one in fading for name in one.feature_names}
    names |= {name for one in features.recent for name in one.feature_names[1:]}  # the first says how many are in
    return Inputs(
        profile=[at for at, name in enumerate(features.profile.feature_names) if name in names],
        floats=_floats(features, lambda name: name.endswith("_recency") or name == "price_relative"),
    )


@dataclasses.dataclass(frozen=True)
class Hidden(TrainingTable):
    """A training table some of whose inputs are 0.

    Attributes:
        hidden: which.
    """

    hidden: Inputs

    def _decode(self, table: pa.Table) -> Sessions:
        return without(super()._decode(table), self.hidden)


def without(sessions: Sessions, hidden: Inputs) -> Sessions:
    """The sessions with some inputs 0."""
    changed = {}
    for part in dataclasses.fields(hidden):
        values = np.array(getattr(sessions, part.name))
        values[:, getattr(hidden, part.name)] = 0
        changed[part.name] = values
    return dataclasses.replace(sessions, **changed)


def _trained(table: TrainingTable, hidden: Inputs, features: FeatureSet, train: Mapping[str, Any]) -> Predict:
    own = Hidden(**{one.name: getattr(table, one.name) for one in dataclasses.fields(table)}, hidden=hidden)
    with tempfile.TemporaryDirectory() as name:
        run_single(_train, (own, features, train, Path(name)))
        model = Artifact(Path(name) / STAGING, features)
    return lambda sessions: model.sessions(without(sessions, hidden))


def _train(table: TrainingTable, features: FeatureSet, train: Mapping[str, Any], folder: Path) -> None:
    from models.trainer import Options

    options = {one.name: train[one.name] for one in dataclasses.fields(Options) if one.name in train}
    run_rank(Job(table, features, options, folder / STAGING, folder / "log", folder / "checkpoint.npz", FLOAT32))
