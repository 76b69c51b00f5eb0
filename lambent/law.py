"""What 'equal' means in the lambda law, in one place.

Integers, times and sets exactly; floats to 1e-9 relative in double, to one unit of the stored float where a profile was
stored; below 1e-12, and below the smallest stored float where it was stored, a decayed value is nothing.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lambent.codec import STORED_LEAST, STORED_RELATIVE
from lambent.profile import Layout, Profiles

RELATIVE = 1e-9
ABSOLUTE = 1e-12


def differs(layout: Layout, left: Profiles, right: Profiles, *, stored: bool) -> dict[str, NDArray[np.bool_]]:
    """For each aggregate [n] true where the users' profiles are not equal; ``clock_ms`` is one of them.

    Args:
        layout: of both sides.
        left, right: [n] profiles of the same users.
        stored: one side went through a published profile's bytes.
    """
    relative, absolute = (STORED_RELATIVE, STORED_LEAST) if stored else (RELATIVE, ABSOLUTE)
    found = {"clock_ms": left["clock_ms"] != right["clock_ms"]}
    for aggregate in layout.aggregates:
        a, b = layout.block(left, aggregate), layout.block(right, aggregate)
        equal = np.isclose(a, b, rtol=relative, atol=absolute) if a.dtype.kind == "f" else a == b
        found[aggregate.name] = ~equal.all(axis=1)
    return found
