"""`make` and the set-up: what is missing is named in one sentence, and what is there is not made again."""

import contextlib
import functools
import importlib.util
import os
import shutil
import ssl
import subprocess
import sys
import sysconfig
import threading
import zipfile
from datetime import UTC, datetime, timedelta
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def java(tmp_path, monkeypatch):
    """Put a `java` in front that answers as given; returns the folder for JAVA_HOME."""

    def install(answer, status=0):
        program = tmp_path / "jdk" / "bin" / "java"
        program.parent.mkdir(parents=True, exist_ok=True)
        program.write_text(f"#!/bin/sh\necho '{answer}' >&2\nexit {status}\n")
        program.chmod(0o755)
        monkeypatch.setenv("JAVA_HOME", str(tmp_path / "jdk"))

    return install


@pytest.fixture
def setup(tmp_path, monkeypatch):
    """The set-up script as a module, working on an empty folder."""
    spec = importlib.util.spec_from_file_location("setup_script", ROOT / "scripts" / "setup.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    (tmp_path / "requirements").mkdir()
    for name in ("bootstrap.txt", "run.txt", "dev.txt", "referee.txt"):
        (tmp_path / "requirements" / name).write_text(name)
    (tmp_path / "pyproject.toml").write_text("[project]")
    venv = tmp_path / ".venv"
    (venv / "bin").mkdir(parents=True)
    (venv / "bin" / "python").touch()
    for name, value in {
        "ROOT": tmp_path,
        "VENV": venv,
        "PYTHON": venv / "bin/python",
        "UNFINISHED": venv / ".unfinished",
    }.items():
        monkeypatch.setattr(module, name, value)
    return module


def run_setup():
    command = [sys.executable, "scripts/setup.py", "run"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, env=os.environ)


@pytest.mark.parametrize(
    ("answer", "fact"),
    [
        ('openjdk version "11.0.22" 2024-01-16', "Java 11 is too old"),
        ('java version "1.8.0_401"', "Java 8 is too old"),
        ('openjdk version "26.0.1" 2026-04-21', "Java 26 is too new"),
    ],
)
def test_a_java_out_of_range_is_named_with_the_range_and_what_to_install(java, monkeypatch, answer, fact):
    java(answer)
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent))  # no other Java there
    result = run_setup()
    assert result.returncode == 1
    assert result.stderr.startswith(f"{fact} (JAVA_HOME is ")
    assert "Spark needs Java 17 to 25" in result.stderr
    assert "nstall" in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize("is_there", [True, False])
def test_a_wrong_java_home_is_told_from_no_java_where_a_good_one_is_on_the_path(java, monkeypatch, tmp_path, is_there):
    good = tmp_path / "jdk-17"
    (good / "bin").mkdir(parents=True)
    (good / "bin/java").write_text("#!/bin/sh\necho 'openjdk version \"17.0.15\"' >&2\n")
    (good / "bin/java").chmod(0o755)
    (tmp_path / "on-path").mkdir()
    (tmp_path / "on-path/java").symlink_to(good / "bin/java")
    monkeypatch.setenv("PATH", str(tmp_path / "on-path"))
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "nowhere"))
    if is_there:
        java('openjdk version "11.0.22" 2024-01-16')
    result = run_setup()
    assert result.returncode == 1
    assert f"{tmp_path}/on-path/java is Java 17: unset JAVA_HOME, or set it to {good}" in result.stderr
    assert "nstall" not in result.stderr


def test_an_absent_java_is_named_with_what_to_install(monkeypatch, tmp_path):
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    result = run_setup()
    assert result.returncode == 1
    assert result.stderr.startswith("No Java was found: Spark needs Java 17 to 25. Install")
    assert len(result.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize("version", ["17.0.15", "21", "25.0.3"])
def test_java_17_to_25_will_do(java, setup, version):
    java(f'openjdk version "{version}" 2025-04-15')
    setup.check_java()


@pytest.mark.parametrize("name", ["a:b", "a%b", "a\nb", "$HOME"])
def test_a_clone_whose_path_python_airflow_or_mlflow_would_read_otherwise_is_refused_at_once(
    setup, tmp_path, monkeypatch, name
):
    monkeypatch.setattr(setup, "ROOT", tmp_path / name)
    with pytest.raises(SystemExit, match=r"cannot hold the clone.*Move it"):
        setup.check_folder()


def test_a_finished_environment_is_left_alone_until_what_it_is_made_from_changes(setup, tmp_path):
    assert not setup.is_ready("run")
    (setup.VENV / ".stamp-run").write_text(setup.stamp("run"))
    assert setup.is_ready("run")
    assert not setup.is_ready("dev")
    (tmp_path / "requirements" / "run.txt").write_text("another lock")
    assert not setup.is_ready("run")


def test_the_development_environment_will_do_for_a_run(setup):
    (setup.VENV / ".stamp-dev").write_text(setup.stamp("dev"))
    assert setup.is_ready("run")
    assert setup.is_ready("dev")


def test_an_environment_whose_making_was_cut_short_is_not_used(setup):
    (setup.VENV / ".stamp-run").write_text(setup.stamp("run"))
    setup.UNFINISHED.touch()
    assert not setup.is_ready("run")


@pytest.fixture
def pip(setup, monkeypatch, tmp_path):
    """Write settings where pip reads them: the `machine`'s, the `user`'s, and a `file` of PIP_CONFIG_FILE's.

    The real pip reads the machine's own /etc/pip.conf too, which wins over the first and loses to the others.
    """
    for name in os.environ:
        if name.startswith(("PIP_", "UV_")) or name in {"SSL_CERT_FILE", "SSL_CERT_DIR", "SSL_CLIENT_CERT"}:
            monkeypatch.delenv(name)
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(setup, "PYTHON", Path(sys.executable))
    folders = {"machine": tmp_path / "etc", "user": tmp_path / "home", "file": tmp_path / "own"}
    monkeypatch.setenv("XDG_CONFIG_DIRS", str(folders["machine"]))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(folders["user"]))

    def write(whose, text):
        path = folders[whose] / "pip" / "pip.conf"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        if whose == "file":
            monkeypatch.setenv("PIP_CONFIG_FILE", str(path))

    return write


def test_all_of_pips_settings_about_indexes_and_trust_are_passed_to_uv(setup, pip):
    pip(
        "file",
        "[global]\nindex-url = https://index.example/packages\nextra-index-url =\n  https://a.example/packages\n"
        "  https://b.example/packages\ntrusted-host = a.example b.example\nfind-links = /wheels\n  https://c.example/\n"
        "cert = /etc/company ca.pem\nclient-cert = /etc/me.pem\nproxy = proxy.example:3128\ntimeout = 60\n",
    )
    env = setup.environment()
    assert {name: env.get(name) for name in TOLD} == TOLD


TOLD = {
    "UV_DEFAULT_INDEX": "https://index.example/packages",
    "UV_INDEX": "https://a.example/packages https://b.example/packages",
    "UV_INDEX_STRATEGY": "unsafe-best-match",
    "UV_INSECURE_HOST": "a.example b.example",
    "UV_FIND_LINKS": "/wheels,https://c.example/",
    "SSL_CERT_FILE": "/etc/company ca.pem",
    "SSL_CLIENT_CERT": "/etc/me.pem",
    "HTTPS_PROXY": "http://proxy.example:3128",
    "HTTP_PROXY": "http://proxy.example:3128",
    "UV_HTTP_TIMEOUT": "60",
}


def test_the_users_settings_win_over_the_machines_and_the_environments_over_both(setup, pip, monkeypatch):
    pip("machine", "[global]\nretries = 7\n")
    assert setup.environment()["UV_HTTP_RETRIES"] == "7"
    pip("user", "[global]\nretries = 8\n[install]\nindex-url = https://user.example/\n")
    assert setup.environment()["UV_HTTP_RETRIES"] == "8"
    assert setup.environment()["UV_DEFAULT_INDEX"] == "https://user.example/"
    monkeypatch.setenv("PIP_INDEX_URL", "https://variable.example/")
    assert setup.environment()["UV_DEFAULT_INDEX"] == "https://variable.example/"
    monkeypatch.setenv("UV_DEFAULT_INDEX", "https://uv.example/")
    assert setup.environment()["UV_DEFAULT_INDEX"] == "https://uv.example/"


def test_without_settings_of_pips_uv_is_told_no_index(setup, pip, monkeypatch):
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)  # pip then reads no file at all
    assert not {"UV_DEFAULT_INDEX", "UV_INDEX", "UV_FIND_LINKS", "UV_INSECURE_HOST"} & set(setup.environment())


def test_uv_installs_from_a_company_index_with_a_certificate_of_its_own_that_pips_file_names(setup, pip, tmp_path):
    wheel(tmp_path / "www" / "packages" / "tiny-recsys-part", "tiny_recsys_part")
    certificate, server = https_server(tmp_path)
    with server as port:
        pip("file", f"[global]\nindex-url = https://localhost:{port}/packages\ncert = {certificate}\n")
        command = [sys.executable, "-m", "uv", "pip", "install", "--no-cache", "--target", str(tmp_path / "site")]
        env = setup.environment() | {"NO_PROXY": "localhost"}
        answer = subprocess.run([*command, "tiny-recsys-part"], env=env, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr
    assert (tmp_path / "site" / "tiny_recsys_part.py").is_file()


def test_the_package_and_its_command_work_in_a_clone_with_an_odd_name(setup, tmp_path_factory, monkeypatch):
    clone = tmp_path_factory.mktemp("odd") / 'my clone größer & "it\'s" #1? [x] {y} *'
    shutil.copytree(ROOT / "recsys", clone / "recsys", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, clone)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", clone / ".venv"], check=True)
    (site,) = (clone / ".venv/lib").glob("*/site-packages")
    (site / "tools.pth").write_text(sysconfig.get_path("purelib"))  # stands for what the lock files would install
    for name, path in {"ROOT": clone, "VENV": clone / ".venv", "PYTHON": clone / ".venv/bin/python"}.items():
        monkeypatch.setattr(setup, name, path)
    setup.make_relocatable()
    setup.install_package()
    code = [clone / ".venv/bin/python", "-c", "import recsys; print(recsys.__file__)"]
    for command, expected in ((code, f"{clone}/recsys/__init__.py"), ([clone / ".venv/bin/recsys", "--help"], "Usage")):
        answer = subprocess.run(command, cwd=clone.parent, capture_output=True, text=True, check=True)
        assert expected in answer.stdout


def wheel(folder, name):
    """A package of one empty module, and the page of an index that lists it."""
    folder.mkdir(parents=True)
    file = f"{name}-1.0-py3-none-any.whl"
    metadata = {
        f"{name}.py": "",
        f"{name}-1.0.dist-info/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n",
        f"{name}-1.0.dist-info/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{path},,\n" for path in [*metadata, f"{name}-1.0.dist-info/RECORD"])
    with zipfile.ZipFile(folder / file, "w") as archive:
        for path, text in {**metadata, f"{name}-1.0.dist-info/RECORD": record}.items():
            archive.writestr(path, text)
    (folder / "index.html").write_text(f'<a href="{file}">{file}</a>')


def https_server(folder):
    """A certificate for localhost that nobody else vouches for, and a server of ``folder/www`` that uses it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name, now = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")]), datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    file, private = folder / "ca.pem", folder / "key.pem"
    file.write_bytes(certificate.public_bytes(Encoding.PEM))
    private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))

    @contextlib.contextmanager
    def serve():
        handler = functools.partial(SimpleHTTPRequestHandler, directory=str(folder / "www"))
        with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(file, private)
            server.socket = context.wrap_socket(server.socket, server_side=True)
            threading.Thread(target=server.serve_forever, daemon=True).start()
            yield server.server_address[1]
            server.shutdown()

    return file, serve()


def test_help_lists_every_command():
    answer = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for target in (
        "setup",
        "run",
        "test",
        "up",
        "down",
        "clean",
        "check",
        "format",
        "lock",
        "test-slow",
        "test-recovery",
        "test-realdata",
    ):
        assert f"make {target} " in answer
