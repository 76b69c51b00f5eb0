"""``lambent doctor``'s checks of the batch layer: Java, Delta's jars, and the Airflow that schedules it."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

from lambent.doctor import Finding, Question, ok, problem, warning
from spark_jobs.session import load_facts

JAVA = 17
"""What Spark 4.2 and Delta 4.4 are tested with here; an older one does not start them."""
JAVA_S = 20.0
"""How long a JVM may take to say its version."""

INSTALL_JAVA = "Install Java 17 (Debian, Ubuntu: apt-get install openjdk-17-jre-headless), then: make setup."


def check_java(question: Question) -> Iterator[Finding]:
    """The Java that a session would start, and its version."""
    java = find_java()
    text = java_version(java) if java else None
    release = int(re.split(r"\D", text)[0]) if text else 0
    if java is None:
        yield problem("java", "there is none: neither JAVA_HOME nor PATH names one", INSTALL_JAVA)
    elif not text:
        yield problem("java", f"{java} does not run", "Set JAVA_HOME to a Java 17.")
    elif release < JAVA:
        yield problem("java", f"{text} at {java}; Spark needs {JAVA}", INSTALL_JAVA)
    elif release > JAVA:
        yield warning("java", f"{text} at {java}; {JAVA} is what is tested", "Set JAVA_HOME to a Java 17.")
    else:
        yield ok("java", f"{text} at {java}")


def find_java() -> Path | None:
    """The program that Spark's launcher takes: JAVA_HOME's, else the one that set-up found, else the one in PATH."""
    home = os.environ.get("JAVA_HOME") or load_facts().get("java_home")
    if home:
        return Path(home) / "bin" / "java"
    found = shutil.which("java")
    return Path(found).resolve() if found else None


def java_version(java: Path) -> str | None:
    """Such as ``17.0.12``; None if the program does not run."""
    try:
        done = subprocess.run([java, "-version"], capture_output=True, text=True, timeout=JAVA_S, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    found = re.search(r'version "(\d[^"]*)"', done.stderr)
    return found[1] if found else None


def check_delta_jars(question: Question) -> Iterator[Finding]:
    """The jars that set-up has fetched, and whether they are those of the Python package."""
    jars = [Path(jar) for jar in load_facts().get("jars", ())]
    wanted = f"-{version('delta-spark')}.jar"
    missing = [jar.name for jar in jars if not jar.exists()]
    if not jars:
        remedy = "In a checkout: make setup. Else the first session fetches them from Maven Central."
        yield warning("delta jars", "none are on this machine yet", remedy)
    elif missing:
        yield problem("delta jars", f"missing: {', '.join(missing)}", "Fetch them again: make distclean setup.")
    elif not any("delta-spark" in jar.name and jar.name.endswith(wanted) for jar in jars):
        yield problem("delta jars", f"none is delta-spark{wanted}", "Fetch those of the package: make setup.")
    else:
        yield ok("delta jars", f"{len(jars)} in {jars[0].parent}, delta-spark {version('delta-spark')}")


def check_airflow(question: Question) -> Iterator[Finding]:
    """Whether Airflow is there, and its home. It is not imported: that would make a home where there is none."""
    if importlib.util.find_spec("airflow") is None:
        yield warning("airflow", "not installed: nothing schedules the jobs", "pip install 'lambent[airflow]'.")
        return
    said, wanted = os.environ.get("AIRFLOW_HOME"), question.settings.root / "airflow"
    home = Path(said or "~/airflow").expanduser()
    detail = f"{version('apache-airflow')}, home {home}"
    if not said:
        remedy = f"Set it before the scheduler starts, as make does: AIRFLOW_HOME={wanted}."
        yield warning("airflow", f"{detail}, since AIRFLOW_HOME is not set", remedy)
    elif home.exists() and not os.access(home, os.W_OK):
        yield problem("airflow", f"{detail}, which this user may not write to", f"Set AIRFLOW_HOME={wanted}.")
    else:
        yield ok("airflow", detail if home.exists() else f"{detail}, made at first use")


CHECKS = (check_java, check_delta_jars, check_airflow)
