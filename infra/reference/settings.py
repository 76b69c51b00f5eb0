"""The settings page."""

from __future__ import annotations

from infra.reference.markdown import code, markdown, table
from lambent.config import allowed, presentable
from lambent.settings import PREFIX, Settings


def settings_page() -> str:
    """Every setting."""
    rows = (
        (
            f"{code(name)}<br>{code(PREFIX + name.upper())}",
            allowed(field),
            _default(field.default),
            markdown(field.description),
        )
        for name, field in Settings.model_fields.items()
    )
    return f"""# Settings

A setting is looked for in this order, and the first that has it wins: the environment (`{PREFIX}HTTP_PORT=8700`), the
file `.env` in the folder where the command runs, `lambent.toml` there, the default. A name that is none is refused,
wherever it stands. `lambent config explain` prints what holds, and where each value came from.

```toml title="lambent.toml"
http_port = 8700
spark_memory = "4g"
```

Durations are in milliseconds and sizes in bytes, as the names say.

{table(("setting, variable", "it may be", "default", "what it is"), rows)}"""


def _default(value: object) -> str:
    shown = presentable(value)
    return "none" if shown is None else "empty" if shown == "" else code(shown)
