"""What a registered model is made of: this package's code for folding users in, its columns, its requirements.

MLflow puts the code on the path of whoever loads the model. There it must neither shadow this package, of which it is
only a part, nor meet that of another version; so it travels under a name of its own, which its digest ends.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

_PACKAGE = Path(__file__).resolve().parents[1]
# `recsys.models.recommender` and what it imports; a test loads the model where nothing else of the package is.
_MODULES = (
    "errors.py",
    "ids.py",
    "models/blend.py",
    "models/ensemble.py",
    "models/factors.py",
    "models/fold_in.py",
    "models/new_users.py",
    "models/preferences.py",
    "models/recipe.py",
    "models/recommender.py",
    "models/users.py",
    "redaction.py",
)
_COLUMNS = (("long", "user_id"), ("long", "rank"), ("long", "movie_id"), ("double", "score"), ("string", "source"))


@contextmanager
def code() -> Iterator[Path]:
    """A package to ship, in a folder that lasts as long as the block; its name is the folder's."""
    sources = {module: (_PACKAGE / module).read_text(encoding="utf-8") for module in _MODULES}
    name = f"recsys_{hashlib.sha256(''.join(sources.values()).encode()).hexdigest()[:12]}"
    with TemporaryDirectory() as folder:
        for module, source in sources.items():
            path = Path(folder) / name / module
            path.parent.mkdir(parents=True, exist_ok=True)
            (path.parent / "__init__.py").touch()
            path.write_text(source.replace("from recsys.", f"from {name}."), encoding="utf-8")
        yield Path(folder) / name


def requirements() -> list[str]:
    """What the code needs, in the versions that are here."""
    import numpy as np
    import pandas as pd
    import pydantic

    return [f"numpy=={np.__version__}", f"pandas=={pd.__version__}", f"pydantic=={pydantic.__version__}"]


def signature() -> Any:
    """Input ``user_id``, optionally ``seen`` and its stars; output one row per place; parameter ``k``."""
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, ParamSchema, ParamSpec, Schema
    from mlflow.types.schema import Array, DataType

    return ModelSignature(
        inputs=Schema([
            ColSpec("long", "user_id"),
            ColSpec(Array(DataType.long), "seen", required=False),
            ColSpec(Array(DataType.double), "ratings", required=False),
        ]),
        outputs=Schema([ColSpec(kind, name) for kind, name in _COLUMNS]),
        params=ParamSchema([ParamSpec("k", "long", 10)]),
    )  # fmt: skip
