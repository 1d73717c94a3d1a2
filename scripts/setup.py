"""Make `.venv`: ``python3 scripts/setup.py run|dev``. Only the standard library, and any Python 3.6 may start it.

``python3 scripts/setup.py uv ARGUMENTS`` runs the environment's uv with pip's settings, as the set-up itself does.
A stamp in the environment names what it was made from: while that is unchanged nothing is done and the
network is not touched. An environment whose making was cut short is thrown away and made again.
"""

import ast
import contextlib
import fcntl
import hashlib
import os
import platform
import re
import shutil
import ssl
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
UNFINISHED = VENV / ".unfinished"
OLDEST = (3, 11)
JAVA = (17, 25)  # the oldest and the newest that Spark 4.3 was seen to work with


def main():
    """Check what must be there, then make or complete the environment."""
    want = sys.argv[1] if len(sys.argv) > 1 else ""
    if want == "uv":
        sys.exit(subprocess.run([str(PYTHON), "-m", *sys.argv[1:]], env=environment()).returncode)
    if want not in ("run", "dev") or len(sys.argv) > 2:
        sys.exit("usage: python3 scripts/setup.py run|dev|uv ARGUMENTS")
    check_folder()
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


def check_folder():
    """The clone may lie anywhere but where its path would be read as two paths, a variable or a pattern."""
    path = str(ROOT)
    if re.search("[:%\\x00-\\x1f]", path) or os.path.expandvars(path) != path:
        sys.exit(
            "{!r} cannot hold the clone: Python, Airflow and MLflow would read a path with a colon, a percent sign, a "
            "line break or the name of an environment variable ($NAME) otherwise. "
            "Move it to another folder and run this again.".format(path)
        )


def check_java():
    """Spark needs Java 17 to 25: JAVA_HOME's, else the one on the PATH."""
    home = os.environ.get("JAVA_HOME")
    version = java_version(str(Path(home) / "bin" / "java") if home else "java")
    if version and JAVA[0] <= version <= JAVA[1]:
        return
    fact = (
        "No Java was found"
        if not version
        else "Java {} is too {}".format(version, "old" if version < JAVA[0] else "new")
    )
    fact += " (JAVA_HOME is {})".format(home) if home else ""
    other = shutil.which("java") if home else None
    other_version = java_version(other) if other else None
    if other_version and JAVA[0] <= other_version <= JAVA[1]:
        how = "{} is Java {}: unset JAVA_HOME, or set it to {},".format(other, other_version, java_home(other))
    else:
        how = {
            "Darwin": "Install it with `brew install openjdk@17`, set JAVA_HOME to $(brew --prefix openjdk@17),",
            "Linux": "Install it with `apt install openjdk-17-jre-headless` (Debian 13: openjdk-21-jre-headless, "
            "Fedora: `dnf install java-21-openjdk-headless`), set JAVA_HOME to it if another is the default,",
        }.get(platform.system(), "Install one, set JAVA_HOME to it,")
    sys.exit("{}: Spark needs Java {} to {}. {} and run this again.".format(fact, JAVA[0], JAVA[1], how))


def java_version(java):
    """The version of a Java as one number, 8 for "1.8"; None where it does not start."""
    try:
        answer = subprocess.run(
            [java, "-XX:-UsePerfData", "-version"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = re.search(r'version "(?:1\.)?(\d+)', answer.stdout.decode(errors="replace"))
    return int(found.group(1)) if found and answer.returncode == 0 else None


def java_home(java):
    """The folder that JAVA_HOME would have to name for a program on the PATH, which mostly is a link."""
    return Path(java).resolve().parent.parent


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
    make_relocatable()
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
    index = ["--no-index"] if pip_settings().get("no-index", "").lower() in ("1", "true", "yes", "on") else []
    hint = "check the network and pip's index settings; what was downloaded is kept"
    if not sys.stderr.isatty():
        uv.append("--quiet")  # no progress bar to show, and nobody reads the list of 180 packages
    step([*uv, "sync", *index, "--require-hashes", "--compile-bytecode", *requirements(want)], hint)
    install_package()
    (VENV / (".stamp-" + want)).write_text(stamp(want))
    UNFINISHED.unlink()


def make_relocatable():
    """Have uv write scripts that find Python from where they lie, so that there is no path to quote in them."""
    with (VENV / "pyvenv.cfg").open("a") as file:
        file.write("relocatable = true\n")


def install_package():
    """This clone itself, by a dot: of a whole path uv would take a number sign for a comment."""
    uv = [PYTHON, "-m", "uv", "pip", "install", "--quiet"]
    step([*uv, "--no-deps", "--no-build-isolation", "-e", "."], "the package does not build")


def step(command, hint):
    """Run a command of the set-up, or stop with one sentence."""
    command = [str(part) for part in command]
    if subprocess.run(command, cwd=str(ROOT), env=environment()).returncode != 0:
        sys.exit("Set-up failed at `{}`: {}, then run this again.".format(" ".join(command[:5]), hint))


def environment():
    """The caller's environment; uv, which does not know pip's settings, is told them by variables that are not set."""
    env = dict(os.environ, VIRTUAL_ENV=str(VENV))
    for name in ("PYTHONPATH", "PYTHONHOME", "PIP_REQUIRE_VIRTUALENV", "PYTHONDONTWRITEBYTECODE"):
        env.pop(name, None)
    for name, value in uv_settings(pip_settings()).items():
        older = {"UV_DEFAULT_INDEX": "UV_INDEX_URL", "UV_INDEX": "UV_EXTRA_INDEX_URL"}.get(name)
        if older not in env and name.lower() not in env:
            env.setdefault(name, value)
    return env


def uv_settings(pip):
    """Where uv gets packages, and whom it trusts, as environment variables, from settings of pip by their names."""
    settings = {variable: pip[name] for name, variable in SAME_IN_UV.items() if pip.get(name)}
    settings.update({variable: " ".join(pip[name].split()) for name, variable in LISTS_IN_UV.items() if pip.get(name)})
    if "UV_INDEX" in settings:
        # As pip does it. Whichever index a package comes from, the lock files hold its digest.
        settings["UV_INDEX_STRATEGY"] = "unsafe-best-match"
    if pip.get("find-links"):
        settings["UV_FIND_LINKS"] = ",".join(pip["find-links"].split())
    if pip.get("cert"):
        settings["SSL_CERT_DIR" if Path(pip["cert"]).is_dir() else "SSL_CERT_FILE"] = pip["cert"]
    elif has_system_certificates():
        settings["UV_SYSTEM_CERTS"] = "true"  # a company's own authority is mostly there, and not in uv's list
    if pip.get("proxy"):
        proxy = pip["proxy"] if "://" in pip["proxy"] else "http://" + pip["proxy"]
        settings.update({"HTTP_PROXY": proxy, "HTTPS_PROXY": proxy})
    return settings


SAME_IN_UV = {
    "index-url": "UV_DEFAULT_INDEX",
    "client-cert": "SSL_CLIENT_CERT",
    "default-timeout": "UV_HTTP_TIMEOUT",
    "timeout": "UV_HTTP_TIMEOUT",
    "retries": "UV_HTTP_RETRIES",
}
LISTS_IN_UV = {"extra-index-url": "UV_INDEX", "trusted-host": "UV_INSECURE_HOST"}


def has_system_certificates():
    """Whether the system keeps certificates where programs find them; a bare container does not."""
    paths = ssl.get_default_verify_paths()
    folder = Path(paths.capath) if paths.capath else None
    return platform.system() == "Darwin" or bool(paths.cafile or (folder and any(folder.iterdir())))


def pip_settings():
    """Pip's settings as an installation sees them: the machine's files, the user's, PIP_CONFIG_FILE and PIP_*.

    `pip config get` reads one file alone, so all are listed: ``section.name='value'``, files merged.
    """
    if not PYTHON.exists():
        return {}
    answer = subprocess.run(
        [str(PYTHON), "-m", "pip", "config", "list"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False
    )
    sections = {"global": {}, "install": {}, ":env:": {}}
    for line in answer.stdout.decode(errors="replace").splitlines():
        name, _, value = line.partition("=")
        section, _, name = name.rpartition(".")
        if section in sections:
            with contextlib.suppress(ValueError, SyntaxError):
                sections[section][name] = str(ast.literal_eval(value))
    return dict(sections["global"], **dict(sections["install"], **sections[":env:"]))


if __name__ == "__main__":
    main()
