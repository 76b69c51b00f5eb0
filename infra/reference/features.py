"""The page of the features."""

from __future__ import annotations

from infra.reference.markdown import code, markdown, table
from lambent import aggregates, catalogue, encoding, facts, features, sessions


def says(one: aggregates.Aggregate) -> str:
    """An aggregate in words."""
    seen = _seen(one.where)
    half_life = f", half-life {_duration(one.half_life_ms)}" if one.half_life_ms else ""
    if isinstance(one, aggregates.Affinity):
        return f"{seen} by hashed `{one.by}`, {one.buckets} buckets, decayed{half_life}"
    if isinstance(one, aggregates.Decayed):
        of = {"": seen, "unpriced": f"{seen} without a price"}.get(one.of) or f"sum of log(1 + `{one.of}`) of {seen}"
        return f"{of}, decayed{half_life}"
    if isinstance(one, aggregates.Earliest):
        return "time of the oldest event, in seconds"
    if isinstance(one, aggregates.Latest):
        return f"time of the newest of the {seen}, in seconds"
    if isinstance(one, aggregates.Rhythm):
        return f"{seen} by time, {one.buckets} buckets of {_duration(one.bucket_ms)}"
    if isinstance(one, aggregates.Distinct):
        return f"registers of how many different `{one.by}`"
    if isinstance(one, aggregates.Recent):
        return f"the newest `{one.by}` of events {', '.join(map(code, one.acts))}, with the last act and when"
    if isinstance(one, aggregates.Streak):
        return f"{seen}: the newest of them, and the newest sessions opened, and when"
    if isinstance(one, facts.Choice):
        return f"`{one.column}` of the user: {', '.join([*map(code, one.values), 'other'])}, from 1; 0 is not known"
    if isinstance(one, facts.Since):
        return f"`{one.column}` of the user, in seconds; 0 is not known"
    if type(one) is aggregates.Count:
        return f"{seen}, counted"
    return f"{seen}: {markdown(type(one).__doc__).splitlines()[0]}"


def _seen(where: aggregates.Where) -> str:
    if where.intent:
        return f"sessions that led to `{where.intent}`"
    if where.mark:
        return {
            "opens": "sessions opened",
            "late": "late events",
            "returns": "sessions that came back to what was seen last before them",
        }[where.mark]
    return f"events of type `{where.type}`" if where.type else "events"


def _duration(ms: int) -> str:
    days = ms / aggregates.DAY_MS
    return f"{days:g} d" if days >= 1 else f"{ms / aggregates.HOUR_MS:g} h"


STEP = {
    "gap_log_s": "seconds since the session's last event",
    "elapsed_log_s": "seconds since the session's first event",
    "hour_sin": "time of the day, UTC", "hour_cos": "time of the day, UTC",
    "weekday_sin": "day of the week, UTC", "weekday_cos": "day of the week, UTC",
    "price_log": "price", "price_missing": "1 where there is no price",
    "price_relative": "log price, less the mean of what this user has viewed (half-life 7 d)",
    "dwell_log_s": "seconds that the visitor stayed, or where that is not known, since the session's last event",
    "dwell_missing": "1 where it is not known",
    **{f"{kind}_unknown": f"1 where the catalogue knows nothing of the {kind}" for kind in catalogue.KINDS},
    **{
        f"{kind}_{first}_{then}": f"of all visits with a {first} of the {kind}, the share that had a {then} too, smoothed"
        for kind in catalogue.KINDS for first, then in catalogue.STEPS
    },
    **{f"{kind}_popularity_log": f"events with the {kind} by anybody, decayed, half-life 7 d" for kind in catalogue.KINDS},
    **{f"{kind}_price_less_usual": f"log price, less the {kind}'s usual one (half-life 28 d)" for kind in catalogue.KINDS},
    **{f"{kind}_usual_missing": "1 where one of these two is not known" for kind in catalogue.KINDS},
    "events_log": "events of the session so far",
    "product_repeated": "1 where the session has seen the product", "category_repeated": "1 where it has seen the category",
    "product_is_last": "1 where it is the session's newest product", "product_is_before_last": "1 where it is the one before that",
    "product_returned_to": "1 where it is the product that was seen last before the session, and no event of the session was yet",
}  # fmt: skip


def features_page() -> str:
    """Every feature."""
    own = features.shop_features()
    aggregate_rows = (
        (code(one.name), type(one).__name__, says(one), one.width, len(one.feature_names) or "–")
        for one in own.profile.aggregates
    )
    kinds = dict.fromkeys(type(one) for one in own.profile.aggregates)
    step_rows = ((code(name), _step(name)) for name in own.step_floats)
    id_rows = (
        (code(name), len(own.taxonomy.types) if name == "type" else features.EMBEDDED[name]) for name in own.step_ids
    )
    return f"""# Features

Declared in `lambent/features.py`, for the shipped [taxonomy](taxonomy.md). This set has the hash `{own.hash}`: what was made
for another one is refused.

## The profile

What is kept of a user: {len(own.profile.aggregates)} aggregates, of which the model sees {len(own.profile.feature_names)} numbers. Each is
a sum, a maximum, a minimum or a map over single events, so that two halves of a history merge into the whole. Decay is as of
the user's own clock; the sums that decay are for whoever reads profiles, and of them a model sees the price level alone, in a step's
`price_relative` ([why](../adr/0034-decayed-sums-are-not-for-the-network.md)). What is told of the user besides is no event's; [`users`](tables.md) says it, and it comes with the profile.

{table(("aggregate", "kind", "what it holds", "numbers", "seen"), aggregate_rows)}
What the model sees of each kind:

{table(("kind", "what it is"), ((one.__name__, markdown(one.__doc__).split(chr(10) * 2)[0]) for one in kinds))}
Counts enter as log(1 + x). A model sees the profile as it stood when the session began, and with it which bucket of each rhythm it was then
(`{own.profile.now_names[0]}` and so on), {len(own.profile.now_names)} numbers.

## The step

What the model sees of each event. A name that ends in `log` or `log_s` is log(1 + x).

{table(("number", "what it is"), step_rows)}
And these ids, hashed: for each a row of a table that a model may learn. 0 is missing.

{table(("id", "rows"), id_rows)}
## The session

A silence of more than {sessions.GAP_MS // 60_000} minutes ends a session. An event that is more than {sessions.GAP_MS // 60_000} minutes older than
the user's clock is late and goes to the profile alone. A user silent for more than {sessions.HORIZON_MS // aggregates.DAY_MS} days starts anew.

## Text

Text becomes its CRC-32, at least 1; 0 is missing. Of an event these are hashed: {", ".join(map(code, encoding.TEXT_FIELDS))}.
"""


def _step(name: str) -> str:
    if name.endswith("_in"):
        return f"1 where the event's own product or category is in `{name.removesuffix('_in')}`"
    if name.endswith("_recency"):
        return "how lately it was written there: 2^(−age / 1 d)"
    return STEP.get(name) or f"`{name.removesuffix('_log')}` events of the session so far"
