"""The slow, obvious twin of the fold: one user, plain Python, a few lines for each rule. Tests and ``lambent law`` use it.

It reads the same declarations, and shares no arithmetic with ``profile``, ``fold`` or ``kernel``.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from lambent.aggregates import Affinity, Aggregate, Decayed, Distinct, Earliest, Latest, Recent, Rhythm, Streak
from lambent.catalogue import KINDS, SHOWN
from lambent.encoding import WORDS, text_hash
from lambent.events import MIN_EVENT_MS, Event
from lambent.facts import Choice, Fact
from lambent.features import EMBEDDED, PRICE_LEVEL, SEEN, FeatureSet
from lambent.profile import Profiles
from lambent.sessions import GAP_MS, HORIZON_MS


class Seen(NamedTuple):
    """An event, its t in ms, whether it opens a session, whether it is late, the user's clock with it, the intent for which it
    decides the session as the first (empty: it does not), and whether it is the first of it to come back to what the user saw
    last before.
    """

    event: Event
    t_ms: int
    opens: bool
    late: bool
    clock_ms: int
    decides: str
    returns: bool


Told = Mapping[str, Any]
"""A row of the table ``users``."""


def distinct(log: Iterable[tuple[Event, int]]) -> list[tuple[Event, int]]:
    """The first copy of each event, in the log's order. Items are (event, ingest_ms)."""
    first: dict[str, tuple[Event, int]] = {}
    for event, ingest_ms in log:
        first.setdefault(event.id, (event, ingest_ms))
    return list(first.values())


def mark(features: FeatureSet, log: Iterable[tuple[Event, int]]) -> list[Seen]:
    """A user's distinct events since the last silence beyond the horizon, with their marks."""
    seen: list[Seen] = []
    for one, silent in marks(features, log):
        if silent:
            seen.clear()
        seen.append(one)
    return seen


def marks(features: FeatureSet, log: Iterable[tuple[Event, int]]) -> Iterator[tuple[Seen, bool]]:
    """A user's distinct events with their marks, and whether there was a silence beyond the horizon before each."""
    intent_of = {one.name: one.intent for one in features.taxonomy.types}
    clock_ms: int | None = None
    decided: set[str] = set()
    viewed: dict[int, int] = {}
    opened_ms, returned = 0, False
    for event, ingest_ms in log:
        t_ms = min(event.event_ms, ingest_ms)
        silent = clock_ms is not None and t_ms > clock_ms + HORIZON_MS
        opens = clock_ms is None or t_ms > clock_ms + GAP_MS
        late = clock_ms is not None and t_ms < clock_ms - GAP_MS
        clock_ms = t_ms if clock_ms is None else max(clock_ms, t_ms)
        if opens:
            decided, opened_ms, returned = set(), t_ms, False
        if silent:
            viewed = {}
        intent = intent_of[event.type] or ""
        decides = "" if late or intent in decided else intent
        decided.add(decides)
        returns = not late and not returned and _comes_back(features, event.product, opened_ms, viewed)
        returned |= returns
        one = Seen(event, t_ms, opens, late, clock_ms, decides, returns)
        for seen in (a for a in features.recent if a.name == SEEN and _counts(a, one)):
            viewed |= {key: max(entry, viewed.get(key, 0)) for key, entry in _entries(seen, [one]).items()}
        yield one, silent


def _comes_back(features: FeatureSet, product: str | None, opened_ms: int, viewed: dict[int, int]) -> bool:
    """Whether a product's last view came before the session, and none of another product later before it, by the minute, as far
    as the map of what was seen goes back.
    """
    remembers = {a.where.mark for a in features.profile.aggregates if isinstance(a, Latest)}
    if product is None or not viewed or not {"opens", "returns"} <= remembers:
        return False
    newest = sorted(viewed.values(), reverse=True)[: Recent.width]
    minutes = [entry // 2**22 for entry in newest if entry // 2**22 < (opened_ms - MIN_EVENT_MS) // 60_000]
    own = [entry // 2**22 for entry in newest if entry % 2**20 == _key(product)]
    return bool(own and minutes) and own[0] == max(minutes)


def profile(features: FeatureSet, seen: list[Seen], told: Told | None = None) -> Profiles:
    """[1] the profile of one user's marked events, and of what is told of the user besides."""
    row = features.profile.identity(1)
    for fact in features.facts:
        features.profile.block(row, fact)[0] = _code(fact, (told or {}).get(fact.column))
    if not seen:
        return row
    clock_ms = max(one.t_ms for one in seen)
    row["clock_ms"] = clock_ms
    for aggregate in features.profile.aggregates:
        if not isinstance(aggregate, Fact):
            features.profile.block(row, aggregate)[0] = _value(aggregate, seen, clock_ms)
    return row


def _code(fact: Fact, value: Any) -> int:
    if value is None:
        return 0
    if isinstance(fact, Choice):
        return [*fact.values, value].index(value) + 1
    return min(max(int(value / 1000), 1), 4_294_967_295)


def _counts(aggregate: Aggregate, one: Seen) -> bool:
    where = aggregate.where
    if isinstance(aggregate, Recent):
        return one.event.type in aggregate.acts
    if isinstance(aggregate, Streak):
        return one.opens or one.returns
    return (
        where.type in ("", one.event.type)
        and (where.intent == "" or one.decides == where.intent)
        and (where.mark != "opens" or one.opens)
        and (where.mark != "late" or one.late)
        and (where.mark != "returns" or one.returns)
    )


def _value(aggregate: Aggregate, seen: list[Seen], clock_ms: int) -> float | Sequence[float]:
    counted = [one for one in seen if _counts(aggregate, one)]
    if isinstance(aggregate, Affinity):
        return _buckets(aggregate, counted, clock_ms)
    if isinstance(aggregate, Rhythm):
        buckets = [one.t_ms // aggregate.bucket_ms % aggregate.buckets for one in counted]
        return [buckets.count(bucket) for bucket in range(aggregate.buckets)]
    if isinstance(aggregate, Distinct):
        return _registers(aggregate, counted)
    if isinstance(aggregate, Recent):
        entries = sorted(_entries(aggregate, counted).values(), reverse=True)
        return [*entries, *[0] * aggregate.width][: aggregate.width]
    if isinstance(aggregate, Streak):
        return [*sorted(_visits(counted), reverse=True), *[0] * aggregate.width][: aggregate.width]
    if isinstance(aggregate, Decayed):
        return math.fsum(_worth(aggregate, one.event) * _weight(aggregate, one.t_ms, clock_ms) for one in counted)
    times_s = [
        (one.clock_ms if aggregate.where.intent or aggregate.where.mark == "returns" else one.t_ms) // 1_000
        for one in counted
    ]
    if isinstance(aggregate, Earliest):
        return min(times_s, default=int(np.iinfo(np.int64).max))
    if isinstance(aggregate, Latest):
        return max(times_s, default=0)
    return len(counted)


def _registers(aggregate: Distinct, counted: list[Seen]) -> list[float]:
    registers = [0.0] * 16
    for one in counted:
        if (text := getattr(one.event, aggregate.by)) is not None:
            register, rest = text_hash(text) % 16, f"{text_hash(text) // 16:028b}"
            zeros = len(rest) - len(rest.rstrip("0"))
            registers[register] = max(registers[register], min(zeros + 1, 15))
    return registers


def _entries(aggregate: Recent, counted: list[Seen]) -> dict[int, int]:
    """Of each key its newest entry."""
    entries: dict[int, int] = {}
    for one in counted:
        if (text := getattr(one.event, aggregate.by)) is not None:
            minute, act, key = (one.t_ms - MIN_EVENT_MS) // 60_000, aggregate.acts.index(one.event.type), _key(text)
            entries[key] = max(entries.get(key, 0), minute * 2**22 + act * 2**20 + key)
    return entries


def _visits(counted: list[Seen]) -> set[int]:
    """An entry for each opening, act 0, and each return, act 1."""
    found = set()
    for one in counted:
        minute = (one.clock_ms - MIN_EVENT_MS) // 60_000
        found |= {
            minute * 2**22 + act * 2**20 + (2 * minute + act) % 2**20 for act in (0, 1) if (one.opens, one.returns)[act]
        }
    return found


def _key(text: str) -> int:
    """Last-N maps know values by 20 bits."""
    return text_hash(text) % 2**20


def _buckets(aggregate: Affinity, counted: list[Seen], clock_ms: int) -> list[float]:
    sums = [0.0] * aggregate.buckets
    for one in counted:
        text = getattr(one.event, aggregate.by)
        if text is not None:
            sums[text_hash(text) % aggregate.buckets] += _weight(aggregate, one.t_ms, clock_ms)
    return sums


def _worth(aggregate: Decayed, event: Event) -> float:
    if not aggregate.of:
        return 1.0
    if aggregate.of == "unpriced":
        return float(event.price is None)
    value = getattr(event, aggregate.of)
    return 0.0 if value is None else math.log1p(value)


def _weight(aggregate: Decayed, t_ms: int, clock_ms: int) -> float:
    return float(2.0 ** ((t_ms - clock_ms) / aggregate.half_life_ms))


# --- what a step of the model sees -------------------------------------------------------------------------------------


Known = Mapping[tuple[str, str | None], Sequence[float]]
"""What a catalogue knows by kind and name, in the order of ``catalogue.VALUES``."""


def steps(
    features: FeatureSet, log: Sequence[tuple[Event, int]], known: Known | None = None
) -> list[tuple[str, bool, dict[str, float]]]:
    """Of one user's distinct events that are not late: the event's id, whether it starts a session, and the step's numbers
    by name, those left out being 0.
    """
    rows = []
    for n in range(len(log)):
        seen = mark(features, log[: n + 1])
        if not seen[-1].late:
            opened = max(n for n, one in enumerate(seen) if one.opens)
            session = [one for one in seen[opened:] if not one.late]
            rows.append((seen[-1].event.id, seen[-1].opens, numbers(features, seen, session, known or {})))
    return rows


def numbers(features: FeatureSet, seen: list[Seen], session: list[Seen], known: Known) -> dict[str, float]:
    """The numbers of one step by name.

    Args:
        features: the feature set.
        seen: the user's events up to this one, late ones among them.
        session: those of them in the session that runs.
        known: what the catalogue knows.
    """
    return _numbers(features, seen, session) | _known(seen[-1].event, known)


def ids(features: FeatureSet, event: Event) -> list[int]:
    """The ids of one step, in the order of ``FeatureSet.step_ids``: the type, then a row of each table of embeddings."""
    rows = [features.taxonomy.type_code[event.type]]
    for name, size in EMBEDDED.items():
        text = word(event.query, name) if name in WORDS else getattr(event, name)
        rows.append(0 if text is None else 1 + text_hash(text) % (size - 1))
    return rows


def word(query: str | None, name: str) -> str | None:
    """The first or the last word of a query."""
    if query is None:
        return None
    return query.partition(" ")[0] if name == "query_first" else query.rpartition(" ")[2]


def _known(event: Event, known: Known) -> dict[str, float]:
    found: dict[str, float] = {}
    for kind in KINDS:
        values = known.get((kind, getattr(event, kind)))
        found[f"{kind}_unknown"] = float(values is None)
        found |= {f"{kind}_{name}": value for name, value in zip(SHOWN, values or (), strict=False)}
        usual = values[-1] if values else math.nan
        found[f"{kind}_usual_missing"] = float(event.price is None or math.isnan(usual))
        if not found[f"{kind}_usual_missing"]:
            found[f"{kind}_price_less_usual"] = math.log1p(event.price or 0) - usual
    return found


def _numbers(features: FeatureSet, seen: list[Seen], session: list[Seen]) -> dict[str, float]:
    event, t_ms, clock_ms = seen[-1].event, seen[-1].t_ms, seen[-1].clock_ms
    before = session[:-1]
    products = [one.event.product for one in before if one.event.product is not None]
    others = [product for product in products if product != products[-1]]
    gap_s = max(t_ms - max((one.t_ms for one in before), default=t_ms), 0) / 1000
    dwell_s = gap_s if event.dwell_ms is None else event.dwell_ms / 1000
    hour, day = 2 * math.pi * (t_ms / 86_400_000 % 1), 2 * math.pi * (t_ms / 604_800_000 % 1)
    found = {
        "gap_log_s": math.log1p(gap_s),
        "elapsed_log_s": math.log1p(max(t_ms - session[0].t_ms, 0) / 1000),
        "hour_sin": math.sin(hour), "hour_cos": math.cos(hour), "weekday_sin": math.sin(day), "weekday_cos": math.cos(day),
        "price_missing": float(event.price is None), "dwell_missing": float(event.dwell_ms is None),
        "price_log": math.log1p(event.price or 0), "dwell_log_s": math.log1p(dwell_s),
        "price_relative": _price_relative(features, event, seen), "events_log": math.log1p(len(session)),
        "product_repeated": _repeated(event.product, [one.event.product for one in before]),
        "category_repeated": _repeated(event.category, [one.event.category for one in before]),
        "product_is_last": float(event.product is not None and event.product in products[-1:]),
        "product_is_before_last": float(event.product is not None and event.product in others[-1:]),
        "product_returned_to": float(seen[-1].returns),
    }  # fmt: skip
    for kind in features.taxonomy.types:
        found[f"{kind.name}_log"] = math.log1p(sum(one.event.type == kind.name for one in session))
    for recent in features.recent:
        entry = _recalled(recent, event, seen[:-1])
        if entry:
            age_ms = clock_ms - (entry // 2**22 * 60_000 + MIN_EVENT_MS)
            found[f"{recent.name}_in"] = float(entry // 2**20 % 4 == 0)
            found[f"{recent.name}_recency"] = 2.0 ** (-age_ms / 86_400_000)
    return found


def _recalled(recent: Recent, event: Event, seen: list[Seen]) -> int:
    text = getattr(event, recent.by)
    entries = _entries(recent, [one for one in seen if _counts(recent, one)])
    newest = sorted(entries.values(), reverse=True)[: recent.width]
    return next((entry for entry in newest if text is not None and entry % 2**20 == _key(text)), 0)


def _price_relative(features: FeatureSet, event: Event, seen: list[Seen]) -> float:
    by_name = {one.name: one for one in features.profile.aggregates}
    if event.price is None or not by_name.keys() >= set(PRICE_LEVEL):
        return 0.0
    total, viewed, unpriced = (_decayed(by_name[name], seen[:-1], seen[-1].clock_ms) for name in PRICE_LEVEL)
    weight = viewed - unpriced
    return math.log1p(event.price) - total / weight if weight >= 0.01 else 0.0


def _decayed(aggregate: Aggregate, seen: list[Seen], clock_ms: int) -> float:
    value = _value(aggregate, seen, clock_ms)
    assert isinstance(value, float)
    return value


def _repeated(text: str | None, before: list[str | None]) -> float:
    """Sessions remember 64 bits, so texts whose hashes agree modulo 64 are one."""
    return float(
        text is not None and text_hash(text) % 64 in {text_hash(one) % 64 for one in before if one is not None}
    )
