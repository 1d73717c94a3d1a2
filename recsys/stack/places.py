"""Where one clone's stack keeps its files, all below the state folder."""

import base64
import hashlib
import json
import os
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from recsys.config import PROJECT_ROOT, Settings
from recsys.private_files import make_private_folder

USER = "admin"


@dataclass(frozen=True)
class Places:
    """The folders and files of a stack, and the folders its DAGs and plugins come from."""

    state_dir: Path
    dags: Path = PROJECT_ROOT / "dags"
    plugins: Path = PROJECT_ROOT / "plugins"

    @classmethod
    def of(cls, settings: Settings) -> "Places":
        return cls(settings.state_dir.expanduser().resolve())

    @property
    def airflow(self) -> Path:
        return self.state_dir / "airflow"

    @property
    def logs(self) -> Path:
        return self.state_dir / "logs"

    @property
    def database(self) -> Path:
        return self.airflow / "airflow.db"

    @property
    def passwords(self) -> Path:
        return self.airflow / "passwords.json"

    @property
    def record(self) -> Path:
        """What runs: ports, and each process by id and start time."""
        return self.state_dir / "stack" / "processes.json"

    @property
    def lock(self) -> Path:
        return self.state_dir / "stack" / "lock"

    @property
    def stack_id(self) -> str:
        """Marks every process of this stack, in its environment; the same for the same state folder."""
        return hashlib.sha256(str(self.state_dir).encode()).hexdigest()[:16]

    def make(self) -> None:
        """Create the folders for their owner alone, and close those of an older version to others.

        A state folder of one's own, and the store in it, keep their modes: they may be shared on purpose.
        """
        make_private_folder(self.state_dir)
        names = ("airflow", "logs", "mlflow", "stack", "tmp")
        folders = [make_private_folder(self.state_dir / name) for name in names]
        for folder in [*folders, *([self.state_dir] if self.state_dir == PROJECT_ROOT / ".state" else [])]:
            if folder.stat().st_uid == os.getuid():
                folder.chmod(0o700)

    def task_log(self, dag_id: str, run_id: str, task_id: str, map_index: int, try_number: int) -> Path:
        """The file Airflow writes one attempt's log to."""
        folder = self.airflow / "logs" / f"dag_id={dag_id}" / f"run_id={run_id}" / f"task_id={task_id}"
        if map_index >= 0:
            folder /= f"map_index={map_index}"
        return folder / f"attempt={try_number}.log"

    def password(self) -> str:
        """The password of `USER`; Airflow reads it from the same file."""
        return _drawn(self.passwords, lambda: {USER: secrets.token_urlsafe(16)})[USER]

    def keys(self) -> dict[str, str]:
        """What Airflow signs and encrypts with: ``{jwt, session, fernet}``."""
        return _drawn(
            self.airflow / "keys.json",
            lambda: {
                "jwt": secrets.token_hex(64),
                "session": secrets.token_hex(32),
                "fernet": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
            },
        )


def _drawn(path: Path, draw: Callable[[], dict[str, str]]) -> dict[str, str]:
    """Secrets in a file that only its owner can read, drawn on first use."""
    try:
        found = json.loads(path.read_text())
        return {name: found[name] for name in draw()}
    except FileNotFoundError:
        pass
    except (ValueError, KeyError, TypeError):
        path.unlink()  # cut short when it was written
    drawn = draw()
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        json.dump(drawn, file)
    return drawn
