"""Where Spark runs: in this process, or on the cluster that an Airflow connection names."""

from collections.abc import Mapping
from typing import Any

from recsys.config import Settings
from recsys.errors import ConfigError


def is_local(master: str) -> bool:
    """Whether a Spark master is this process, not a cluster.

    >>> is_local("local[4]"), is_local("spark://master:7077")
    (True, False)
    """
    return master.startswith("local")


def on_cluster(settings: Settings, host: str, port: int | None, extra: Mapping[str, Any]) -> Settings:
    """Settings for the Spark cluster that an Airflow connection of the type Spark names.

    Args:
        settings: all the rest.
        host: ``yarn``, ``local[4]``, ``spark://host``, ``k8s://https://host``, or a bare host, which is Spark's own
            cluster manager.
        port: of the host, if any.
        extra: `queue` (YARN), `namespace` (Kubernetes), and any Spark setting by its full name.

    Raises:
        ConfigError: an entry without a meaning here, such as the deploy mode `cluster`: the driver is the task itself.

    >>> on_cluster(Settings(), "spark-master", 7077, {"spark.executor.memory": "4g"}).spark_master
    'spark://spark-master:7077'
    """
    is_plain = "://" in host or host == "yarn" or host.startswith("local")
    master = (host if is_plain else f"spark://{host}") + (f":{port}" if port else "")
    names = {"queue": "spark.yarn.queue", "namespace": "spark.kubernetes.namespace"}
    conf = {names.get(name, name): str(value) for name, value in extra.items()}
    strange = {name: value for name, value in conf.items() if not name.startswith("spark.")}
    if strange.pop("deploy-mode", "client") != "client" or strange or not host:
        raise ConfigError(
            f"The connection to Spark has host {host!r} and extra {dict(extra)}. Nothing was started. A host is "
            "needed, and as extra queue, namespace and Spark settings by their full names; the deploy mode is client."
        )
    conf.pop("deploy-mode", None)
    return settings.model_copy(update={"spark_master": master, "spark_conf": {**settings.spark_conf, **conf}})
