"""What the documentation tells a reader to type is typed here, in its order, on real parts."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.pages import DOCS, PROJECT, all_blocks, walk

TUTORIAL = [
    "docs/tutorial/a-shoppers-intent.md",
    "docs/how-to/explain-an-intent.md",
    "docs/how-to/read-the-evaluation.md",
    "docs/how-to/choose-the-champion.md",
]
BY_HAND = [
    "docs/how-to/read-your-own-log.md",
    "docs/how-to/run-the-parts-by-hand.md",
    "docs/how-to/see-how-it-runs.md",
    "docs/how-to/find-out-what-is-wrong.md",
    "docs/how-to/mend-what-was-refused.md",
    "docs/how-to/roll-back-profiles.md",
    "docs/how-to/rebuild.md",
]
BACKFILL = ["docs/how-to/backfill.md"]
CLUSTER = ["docs/how-to/spark-cluster.md"]
KEY = ["docs/how-to/give-a-service-a-key.md"]
SECURE = ["docs/how-to/secure-the-store.md"]  # typed by test_acl
KEYS_CHECK = """python - <<'PY'
import os, re, redis
from lambent.keys import KEYS

patterns = {
    re.compile(re.escape(key.pattern).replace(r"\\{p\\}", r"\\{\\d+\\}").replace("USER", "[A-Za-z0-9_-]{22}")): key
    for key in KEYS
}
store = redis.Redis.from_url(os.environ["LAMBENT_STORE_URL"], decode_responses=True)
seen = set()
for name in store.scan_iter(count=1000):
    key = next(key for pattern, key in patterns.items() if pattern.fullmatch(name))
    seen.add(key.pattern)
    kind, expires = store.type(name), store.pttl(name) > 0
    assert kind in (key.kind, "none"), (name, kind)
    assert kind in ("stream", "none") or expires == (key.lives != "for good"), (name, expires, key.lives)
assert len(seen) >= 9, seen
PY"""


@pytest.mark.long
@pytest.mark.timeout(600)
def test_in_the_tutorial_the_intent_to_purchase_rises_with_what_the_reader_does(tmp_path: Path) -> None:
    said = walk(TUTORIAL, tmp_path)
    acts = "".join(text for block, text in said.items() if block.text.startswith("act "))
    purchase = [float(found) for found in re.findall(r"purchase +([\d.]+)%", acts)]
    models = re.findall(r"model (\S+), after (\d) events", acts)
    assert models == [("1", str(n)) for n in range(1, 7)]
    search, *_, again, cart, bought = purchase
    assert cart > again
    assert cart > 1.5 * search
    assert bought < cart


@pytest.mark.long
@pytest.mark.timeout(600)
def test_a_log_of_ones_own_is_read_run_by_hand_and_mended_as_the_pages_say(tmp_path: Path) -> None:
    said = walk(BY_HAND, tmp_path, KEYS_CHECK)
    assert any("every live profile is the fold of all events" in text for text in said.values())


@pytest.mark.long
@pytest.mark.timeout(600)
def test_days_that_are_past_are_made_again_as_the_page_says(tmp_path: Path) -> None:
    versions = """python -c 'import deltalake; print(deltalake.DeltaTable("var/tables/training_sessions").version())'"""
    walk(BACKFILL, tmp_path, f'test "$({versions})" = 1')


@pytest.mark.long
def test_a_service_calls_with_its_key_until_it_is_taken_back(tmp_path: Path) -> None:
    last = """sleep 1.1; curl -s -K <(bearer checkout) http://$LAMBENT/v1/events -d '{}' | grep -q '"status":401'"""
    walk(KEY, tmp_path, last.replace("$LAMBENT", "127.0.0.1:$LAMBENT_HTTP_PORT"))


def test_what_spark_is_told_is_printed_as_its_properties(tmp_path: Path) -> None:
    walk(CLUSTER, tmp_path, "grep '^spark.sql.extensions io.delta' spark-defaults.conf")


def test_every_command_of_the_documentation_is_typed_by_some_test() -> None:
    typed = {*TUTORIAL, *BY_HAND, *BACKFILL, *CLUSTER, *KEY, *SECURE, "README.md"}
    assert {block.page for block in all_blocks("bash")} == typed


def test_the_documentation_is_built_without_a_warning_and_fetches_nothing(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path)],
        cwd=PROJECT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    pages = list(tmp_path.rglob("*.html"))
    assert len(pages) > len(list(DOCS.rglob("*.md")))
    fetched = (
        r'<(?:script|img|iframe)[^>]+src="(?:https?:)?//|<link[^>]+rel="stylesheet"[^>]+href="(?:https?:)?//|@import'
    )
    assert [page.name for page in pages if re.search(fetched, page.read_text())] == []
