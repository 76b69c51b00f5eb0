"""Traffic that is no shopper's: bots, by a rate that no person reaches, and test traffic, which says so itself.

The rules only flag. Every layer folds flagged events as it folds any other, so the law knows nothing of them; training rows
leave them out. A user is flagged, with all that the user ever did: which rows are learned from may be decided with
hindsight, as labels may; what a row says of its past may not, and does not change.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from lambent.errors import SettingsError
from lambent.sql import quoted
from lambent.toml_files import read_toml

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Rows = NDArray[np.int64]

KINDS = ("shopper", "bot", "test")
"""By code. Who is both a bot and a test is a test."""
SHOPPER, BOT, TEST = range(len(KINDS))

WINDOWS_MS = {"minute": 60_000, "hour": 3_600_000, "day": 86_400_000}


class BotRule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How many events of one user within any such time are still a person's; None: any number."""

    minute: int | None = None
    hour: int | None = None
    day: int | None = None


class TestRule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What marks an event as a test's; in each text ``*`` stands for any text.

    Attributes:
        attributes: by name the values of an event's attribute.
        devices: values of ``device``.
        users: pseudonyms.
    """

    __test__ = False  # no test of pytest's

    attributes: dict[str, tuple[str, ...]] = {}
    devices: tuple[str, ...] = ()
    users: tuple[str, ...] = ()

    def sql(self) -> str:
        """Whether a row of ``events`` is marked, as an SQL expression that is never NULL."""
        tested = {"device": self.devices, "user": self.users}
        tested |= {f"attributes[{quoted(name)}]": values for name, values in self.attributes.items()}
        likes = (f"{column} LIKE {_pattern(text)} ESCAPE '!'" for column, texts in tested.items() for text in texts)
        return " OR ".join(["FALSE", *(f"coalesce({like}, FALSE)" for like in likes)])


class Rules(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is no shopper's traffic."""

    bot: BotRule = BotRule()
    test: TestRule = TestRule()

    def flag(self, user: Rows, t_ms: Rows, is_test: NDArray[np.bool_]) -> NDArray[np.int8]:
        """[users] the code of each user's kind.

        Args:
            user: [n] index of each event's user, 0 … users - 1.
            t_ms: [n] when it happened.
            is_test: [n] what ``TestRule.sql`` says of it.
        """
        import numpy as np  # not above: settings are read where nothing heavy may be imported

        kinds = np.zeros(int(user.max(initial=-1)) + 1, np.int8)
        order = np.lexsort((t_ms, user))
        user, t_ms, is_test = user[order], t_ms[order], is_test[order]
        for name, window_ms in WINDOWS_MS.items():
            if (most := getattr(self.bot, name)) is not None:
                kinds[_users_above(most, window_ms, user, t_ms)] = BOT
        kinds[user[is_test]] = TEST
        return kinds


def _users_above(most: int, window_ms: int, user: Rows, t_ms: Rows) -> Rows:
    """Users with more than ``most`` events less than a window apart; [n] users and their times in order."""
    first, last = slice(None, max(len(user) - most, 0)), slice(most, None)
    return user[last][(user[first] == user[last]) & (t_ms[last] - t_ms[first] < window_ms)]


def _pattern(text: str) -> str:
    for special in "!%_":  # the sign that escapes first
        text = text.replace(special, f"!{special}")
    return quoted(text.replace("*", "%"))


def load_rules(path: Path | None = None) -> Rules:
    """Read the rules from TOML.

    Args:
        path: the file; None means the rules that are shipped.

    Raises:
        SettingsError: the file is missing, is not TOML, or holds no such rules.
    """
    path, remedy = (
        path or Path(__file__).with_name("traffic.toml"),
        "Set LAMBENT_TRAFFIC to a file like the shipped one.",
    )
    rules = read_toml(path, Rules, remedy)
    if problem := _problem(rules):
        raise SettingsError(f"{path}: {problem}.", remedy)
    return rules


def _problem(rules: Rules) -> str | None:
    limits = [most for name in WINDOWS_MS if (most := getattr(rules.bot, name)) is not None]
    if any(most < 1 for most in limits):
        return "a limit of [bot] has to be at least 1"
    if any("\0" in text for text in _texts(rules.test)):
        return "a text of [test] holds a NUL"
    return None


def _texts(rule: TestRule) -> Iterable[str]:
    yield from (*rule.devices, *rule.users, *rule.attributes)
    for values in rule.attributes.values():
        yield from values
