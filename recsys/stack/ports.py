"""Ports on 127.0.0.1: the usual ones where they are free, others where not."""

import socket
from dataclasses import asdict, dataclass

AIRFLOW = 8080
MLFLOW = 5000
POSTERS = 8090


@dataclass(frozen=True)
class Ports:
    """Where each server of a stack listens."""

    airflow: int
    mlflow: int
    posters: int

    @classmethod
    def choose(cls) -> "Ports":
        return cls(free_port(AIRFLOW), free_port(MLFLOW), free_port(POSTERS))

    def taken(self) -> list[int]:
        """Those on which somebody listens: somebody else, before our servers start and after they have ended."""
        return [port for port in self.as_dict().values() if is_taken(port)]

    def as_dict(self) -> dict[str, int]:
        return asdict(self)


def free_port(preferred: int) -> int:
    """The preferred port if nobody listens on it, else one the system picks.

    A connection is tried as well as a bind: some systems let 127.0.0.1 be bound below a listener on 0.0.0.0.
    """
    if not is_taken(preferred):
        try:
            with _reusable() as probe:
                probe.bind(("127.0.0.1", preferred))
                return preferred
        except OSError:
            pass
    with _reusable() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def is_taken(port: int) -> bool:
    """Whether something accepts connections on a port of this machine."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _reusable() -> socket.socket:
    probe = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a port in TIME_WAIT is free
    return probe
