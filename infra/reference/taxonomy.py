"""The page of the taxonomy, the policy and the rules on traffic."""

from __future__ import annotations

import inspect
from pathlib import Path

from infra.reference.markdown import code, table
from lambent import policy, taxonomy, traffic


def taxonomy_page() -> str:
    """The shipped taxonomy."""
    shop = taxonomy.shop()
    types = ((code(one.name), "yes" if one.intent else "", one.intent) for one in shop.types)
    rules = ((one.intent, f"{one.threshold:.2f}", code(one.action)) for one in policy.rules_for(shop))
    no_shoppers = Path(inspect.getfile(traffic)).with_name("traffic.toml").read_text()
    shipped = Path(inspect.getfile(taxonomy)).with_name("taxonomy.toml").read_text()
    return f"""# Taxonomy and policy

The event types of a domain, which of them are decisive, and what intent each means. The **label** of an event is the first
decisive event that follows it in the same session; `{shop.intents[0]}` if none does.

{table(("event type", "decisive", "intent"), types)}
`users` lists the texts that the table [`users`](tables.md) has of each attribute; a model sees which of them it is.
At most {taxonomy.MAX_TYPES} types, {taxonomy.MAX_INTENTS} intents and {taxonomy.MAX_VALUES} texts each. To serve another domain, write a file of this form and name it
in the setting [`taxonomy`](settings.md). This is the one that is shipped:

```toml
{shipped.strip()}
```

## Policy

An action is named in an intent when the probability reaches the threshold. These rules are shipped; `lambent policy set FILE` puts
those of a file in force, from its place in the log on: `[[rules]]`, each with `intent`, `threshold` and `action`.

{table(("intent", "from", "action"), rules)}
## Traffic

Which users are no shoppers. To draw the lines elsewhere, write a file of this form and name it in the setting
[`traffic`](settings.md); the next `lambent batch training-sessions` goes by it.

```toml
{no_shoppers.strip()}
```
"""
