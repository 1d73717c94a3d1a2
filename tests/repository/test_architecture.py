"""What the page on the architecture names is there."""

import importlib
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs" / "architecture.md").read_text() + (ROOT / "CONTRIBUTING.md").read_text()
NAMES = sorted(set(re.findall(r"`(recsys(?:\.\w+)+)", TEXT)))
PATHS = sorted(set(re.findall(r"`((?:recsys|tests|dags|docs)/[\w/.]*)", TEXT)))


def resolve(name):
    """The module of a dotted name, or what it names in one."""
    module, _, rest = name.partition(".")
    found = importlib.import_module(module)
    for part in rest.split("."):
        if not hasattr(found, part):
            importlib.import_module(f"{found.__name__}.{part}")
        found = getattr(found, part)
    return found


@pytest.mark.parametrize("name", NAMES)
def test_every_function_that_the_pages_name_is_there(name):
    assert resolve(name) is not None


@pytest.mark.parametrize("path", PATHS)
def test_every_path_that_the_pages_name_is_there(path):
    assert (ROOT / path).exists()


def test_the_picture_shows_every_package():
    found = [*(ROOT / "recsys").glob("*.py"), *(path.parent for path in (ROOT / "recsys").glob("*/__init__.py"))]
    missing = {path.stem for path in found if not re.search(rf"\b{path.stem}\b", TEXT)} - {"__init__"}
    assert missing == {"private_files"}


def test_folders_are_small_and_no_two_modules_have_one_name():
    modules = [path for path in (ROOT / "recsys").rglob("*.py") if path.name not in ("__init__.py", "__main__.py")]
    by_folder = {folder: sum(path.parent == folder for path in modules) for folder in {path.parent for path in modules}}
    assert {str(folder): n for folder, n in by_folder.items() if n > 12} == {}
    names = [path.name for path in modules if path.name != "tasks.py"]
    assert sorted(name for name in set(names) if names.count(name) > 1) == []
