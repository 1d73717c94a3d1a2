"""Make `.venv`: ``python3 scripts/setup.py run|dev``. Only the standard library, and any Python 3.6 may start it.

A stamp in the environment names what it was made from: while that is unchanged nothing is done and the
network is not touched. An environment whose making was cut short is thrown away and made again.
"""

import contextlib
import fcntl
import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
UNFINISHED = VENV / ".unfinished"
OLDEST = (3, 11)
JAVA = 17


def main():
    """Check what must be there, then make or complete the environment."""
    want = sys.argv[1] if len(sys.argv) == 2 else ""
    if want not in ("run", "dev"):
        sys.exit("usage: python3 scripts/setup.py run|dev")
    check_java()
    if is_ready(want):
        return
    python = find_python()
    with lock():
        if is_ready(want):
            return
        if UNFINISHED.exists() or not (VENV / ".base").is_file() or not works(PYTHON):
            make_venv(python)
        install(want)


def check_java():
    """Spark needs Java 17 or newer: JAVA_HOME's, else the one on the PATH."""
    home = os.environ.get("JAVA_HOME")
    java = str(Path(home) / "bin" / "java") if home else "java"
    try:
        answer = subprocess.run(
            [java, "-XX:-UsePerfData", "-version"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60
        )
        text = answer.stdout.decode(errors="replace")
        found = re.search(r'version "(?:1\.)?(\d+)', text) if answer.returncode == 0 else None
    except (OSError, subprocess.TimeoutExpired):
        found = None
    if found and int(found.group(1)) >= JAVA:
        return
    fact = "Java {} is too old".format(found.group(1)) if found else "No Java was found"
    where = " (JAVA_HOME is {})".format(home) if home else ""
    how = {
        "Darwin": "`brew install openjdk@17` and set JAVA_HOME to $(brew --prefix openjdk@17)",
        "Linux": "`apt install openjdk-17-jre-headless` (Fedora: `dnf install java-17-openjdk-headless`)",
    }.get(platform.system(), "a Java 17 runtime")
    sys.exit(
        "{}{}: Spark needs Java {} or newer, so install it with {} and run this again.".format(fact, where, JAVA, how)
    )


def find_python():
    """The first interpreter that is new enough."""
    for name in (sys.executable, "python3", "python3.11", "python3.12", "python3.13"):
        path = shutil.which(name)
        if path and works(path, "import sys; sys.exit(sys.version_info[:2] < {!r})".format(OLDEST)):
            return path
    sys.exit(
        "Python {} or newer is needed and python3 is {}: install python3.11 (with its venv module) "
        "and run this again.".format(".".join(map(str, OLDEST)), platform.python_version())
    )


def works(python, code="import pip"):
    """Whether an interpreter starts and runs a line."""
    try:
        return subprocess.run([str(python), "-c", code], stderr=subprocess.DEVNULL).returncode == 0
    except OSError:
        return False


def requirements(want):
    """The lock files of an environment, the tools that build it first."""
    names = ["bootstrap.txt", want + ".txt"] + (["referee.txt"] if want == "dev" else [])
    return [ROOT / "requirements" / name for name in names]


def stamp(want):
    """What an environment is made from; a clone that was moved needs a new one (scripts hold its path)."""
    digest = hashlib.sha256(str(ROOT).encode())
    for path in [*requirements(want), ROOT / "pyproject.toml", Path(__file__)]:
        digest.update(path.read_bytes())
    return digest.hexdigest()


def is_ready(want):
    """Whether the environment, or the larger one for development, is there and current."""
    for name in {want, "dev"}:
        path = VENV / (".stamp-" + name)
        if path.is_file() and path.read_text() == stamp(name) and not UNFINISHED.exists() and PYTHON.exists():
            return True
    return False


@contextlib.contextmanager
def lock():
    """One set-up at a time; the lock goes with the process, however it ends."""
    with (ROOT / "pyproject.toml").open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def make_venv(python):
    """A fresh environment that holds pip and the pinned installer."""
    print("Making .venv with {} ...".format(python), flush=True)
    shutil.rmtree(str(VENV), ignore_errors=True)
    VENV.mkdir()
    UNFINISHED.touch()
    step([python, "-m", "venv", VENV], "the venv module does not work: on Debian and Ubuntu `apt install python3-venv`")
    pip = [PYTHON, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--require-hashes"]
    step([*pip, "-r", ROOT / "requirements" / "bootstrap.txt"], "check the network and pip's index settings")
    (VENV / ".base").touch()


def install(want):
    """Everything in the lock files, byte-compiled (uv does not do it unasked and first starts take minutes)."""
    if (VENV / ".stamp-dev").exists():
        want = "dev"  # never take the development tools away again
    print("Installing the packages of requirements/{}.txt ...".format(want), flush=True)
    UNFINISHED.touch()
    for name in ("run", "dev"):
        with contextlib.suppress(FileNotFoundError):
            (VENV / (".stamp-" + name)).unlink()
    uv = [PYTHON, "-m", "uv", "pip"]
    hint = "check the network and pip's index settings; what was downloaded is kept"
    if not sys.stderr.isatty():
        uv.append("--quiet")  # no progress bar to show, and nobody reads the list of 180 packages
    step([*uv, "sync", "--require-hashes", "--compile-bytecode", *requirements(want)], hint)
    step([*uv, "install", "--quiet", "--no-deps", "--no-build-isolation", "-e", ROOT], "the package does not build")
    (VENV / (".stamp-" + want)).write_text(stamp(want))
    UNFINISHED.unlink()


def step(command, hint):
    """Run a command of the set-up, or stop with one sentence."""
    command = [str(part) for part in command]
    if subprocess.run(command, cwd=str(ROOT), env=environment()).returncode != 0:
        sys.exit("Set-up failed at `{}`: {}, then run this again.".format(" ".join(command[:5]), hint))


def environment():
    """The caller's environment; uv is told the package index and the certificates that pip is set to."""
    env = dict(os.environ, VIRTUAL_ENV=str(VENV))
    for name in ("PYTHONPATH", "PYTHONHOME", "PIP_REQUIRE_VIRTUALENV", "PYTHONDONTWRITEBYTECODE"):
        env.pop(name, None)
    index = pip_setting("index-url")
    if index and not {"UV_DEFAULT_INDEX", "UV_INDEX_URL"} & set(env):
        env["UV_DEFAULT_INDEX"] = index
    certificates = pip_setting("cert")
    if certificates:
        env.setdefault("SSL_CERT_FILE", certificates)
    return env


def pip_setting(name):
    """A setting of pip's, from its environment variable or its files; None where there is none."""
    value = os.environ.get("PIP_" + name.upper().replace("-", "_"))
    for section in ("install", "global"):
        if not value and PYTHON.exists():
            answer = subprocess.run(
                [str(PYTHON), "-m", "pip", "config", "get", section + "." + name],
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
            value = answer.stdout.decode().strip() if answer.returncode == 0 else None
    return value


if __name__ == "__main__":
    main()
