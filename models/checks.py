"""``lambent doctor``'s checks of the model layer: MLflow, which keeps the registry."""

from __future__ import annotations

import http.client
import importlib.util
import sqlite3
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from lambent.doctor import Finding, Question, ok, problem, warning
from lambent.masking import mask_url

ANSWER_S = 3.0

SQLITE = "sqlite:///"


def check_mlflow(question: Question) -> Iterator[Finding]:
    """Whether tracking and registry can be reached."""
    uri = question.settings.mlflow_tracking_uri
    if importlib.util.find_spec("mlflow") is None:
        yield warning("mlflow", "not installed: no model can be registered", "pip install 'lambent[train]'.")
    elif uri.startswith(SQLITE):
        yield check_file(Path(uri.removeprefix(SQLITE)))
    elif urlsplit(uri).scheme in ("http", "https"):
        yield check_server(uri)
    else:
        yield ok("mlflow", f"{mask_url(uri)}, not looked at")


def check_file(path: Path) -> Finding:
    """A registry in a SQLite file, opened for reading."""
    if not path.exists():
        return ok("mlflow", f"{path}, made at first use")
    address = f"{path.absolute().as_uri()}?mode=ro"
    try:
        with closing(sqlite3.connect(address, uri=True, timeout=ANSWER_S)) as database:
            database.execute("SELECT version_num FROM alembic_version").fetchall()
    except sqlite3.Error as error:
        remedy = "Restore it from a copy, or set LAMBENT_MLFLOW_URI to another."
        return problem("mlflow", f"{path} is no MLflow database ({error})", remedy)
    return ok("mlflow", str(path))


def check_server(uri: str) -> Finding:
    """An MLflow server, by its ``/health``, which asks for no password: none is sent."""
    shown, parts = mask_url(uri), urlsplit(uri)
    address = urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], f"{parts.path.rstrip('/')}/health", "", ""))
    try:
        with urllib.request.urlopen(address, timeout=ANSWER_S):
            return ok("mlflow", f"{shown} answers")
    except urllib.error.HTTPError as error:
        return warning("mlflow", f"{shown} answers with {error.code}", "Look at its log.")
    except (OSError, ValueError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", None) or type(error).__name__
        return problem("mlflow", f"{shown} does not answer ({reason})", "Start it, or set LAMBENT_MLFLOW_URI.")


CHECKS = (check_mlflow,)
