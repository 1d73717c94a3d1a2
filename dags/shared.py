"""What the four DAGs share: their assets, defaults and trigger forms, and how settings travel with the data.

A value given on the form of one DAG is carried along in the asset event it causes, and is the default of
every DAG after it. A DAG's own form wins. `configure`, the first task of each DAG, works this out once, so
all tasks of a run see the same settings and the same upstream data whatever is published meanwhile.
"""

from datetime import timedelta
from typing import Any

from airflow.sdk import Asset, ExceptionRetryPolicy, Param, RetryAction, RetryRule, get_current_context, task

from recsys.config import CHAIN, Settings, parse_chain
from recsys.errors import ConfigError

RATINGS = Asset(name="ratings", uri="x-recsys://ratings", group="recsys")
CHAMPION = Asset(name="champion", uri="x-recsys://champion", group="recsys")
RECOMMENDATIONS = Asset(name="recommendations", uri="x-recsys://recommendations", group="recsys")
POSTERS = Asset(name="posters", uri="x-recsys://posters", group="recsys")

# One Spark session at a time: a pool of one slot, made when the stack starts.
SPARK = {"pool": "spark", "execution_timeout": timedelta(hours=12)}

TRANSIENT = [
    "recsys.errors.TransientError",
    "builtins.ConnectionError",
    "builtins.TimeoutError",
    "py4j.protocol.Py4JNetworkError",  # the JVM is gone
]
DEFAULT_ARGS = {
    "owner": "recsys",
    "retries": 2,
    "retry_delay": timedelta(seconds=15),
    "retry_exponential_backoff": 2.0,
    "max_retry_delay": timedelta(minutes=5),
    # What is not known to be transient would only fail again, later.
    "retry_policy": ExceptionRetryPolicy(
        rules=[
            RetryRule(exception="recsys.errors.PermanentError", action=RetryAction.FAIL),
            RetryRule(exception=TRANSIENT, action=RetryAction.RETRY),
        ],
        default=RetryAction.FAIL,
    ),
    "execution_timeout": timedelta(hours=1),
}
DAG_DEFAULTS: dict[str, Any] = {
    "catchup": False,
    "max_active_runs": 1,
    "dagrun_timeout": timedelta(hours=24),
    "default_args": DEFAULT_ARGS,
}


# Settings that are meant for one run, and not for those that repeat it.
ONCE = frozenset({"when_unchanged"})


def params(dag_id: str) -> dict[str, Param]:
    """The trigger form of a DAG: a field for each setting of its own config and of those after it.

    Types, limits, defaults and texts are read from the configs, so form and config cannot differ.
    """
    form: dict[str, Param] = {}
    for owner in list(CHAIN)[list(CHAIN).index(dag_id) :]:
        for name, schema in CHAIN[owner].model_json_schema()["properties"].items():
            rules = {key: value for key, value in schema.items() if key not in {"default", "description", "title"}}
            field = Param(schema["default"], schema["description"], section=owner, title=name, **rules)
            form.setdefault(name, field)
    return form


def plan(dag_id: str, conf: dict[str, Any], event: dict[str, Any]) -> dict[str, Any]:
    """The settings of one run: ``{config, conf, source}``.

    Args:
        dag_id: one of `CHAIN`.
        conf: what was given to this very run.
        event: extra of the asset event it consumes, or an empty dict.

    Returns:
        `config` holds every field of the DAG's own config; `conf` all that was given so far, to travel on (less
        what is for this run only); `source` the event without it.

    Raises:
        ConfigError: an unknown name or a value out of range, those of later DAGs included.
    """
    parse_chain(dag_id, conf)
    given = {**event.get("conf", {}), **conf}
    own = CHAIN[dag_id]
    config = own.parse({name: given[name] for name in own.model_fields if name in given})
    source = {key: value for key, value in event.items() if key != "conf"}
    travelling = {name: value for name, value in given.items() if name not in ONCE}
    return {"config": config.model_dump(mode="json"), "conf": travelling, "source": source}


def configure(source: Asset) -> Any:
    """The first task of a DAG: settle its settings and the event of `source` it works on; see `plan`."""

    @task(task_id="configure", inlets=[source], multiple_outputs=False)
    def configure(*, dag_run: Any = None, inlet_events: Any = None, triggering_asset_events: Any = None) -> dict:
        """Settle the settings of this run, and the data it works on; refuse unknown or impossible settings.

        Its return value (XCom tab) shows what every other task of this run uses.
        """
        events = list(triggering_asset_events.get(source, ())) or list(inlet_events[source])
        # A person who triggers the ingest by hand starts afresh; the weekly run repeats the last one.
        starts_afresh = dag_run.dag_id == "ingest_ratings" and dag_run.run_type != "scheduled"
        event = {} if starts_afresh or not events else dict(events[-1].extra)
        if not event and dag_run.dag_id != "ingest_ratings":
            raise ConfigError(
                f"{dag_run.dag_id} works on {source.name}, and none was published yet. Nothing was started. "
                "Trigger ingest_ratings; the rest of the chain follows by itself."
            )
        return plan(dag_run.dag_id, dict(dag_run.conf or {}), event)

    return configure()


def config(plan: dict[str, Any]) -> Any:
    """The running DAG's config, from what `configure` returned."""
    return CHAIN[get_current_context()["dag_run"].dag_id].parse(plan["config"])


def settings() -> Settings:
    """Settings of a task that uses Spark: those of the environment, on the cluster of the connection `spark_default`.

    Without that connection, or with ``RECSYS_SPARK_MASTER`` set, the environment alone decides.
    """
    from airflow.sdk import Connection
    from airflow.sdk.exceptions import AirflowNotFoundException

    from recsys.spark import on_cluster

    found = Settings.load()
    if "spark_master" in found.model_fields_set:
        return found
    try:
        connection = Connection.get("spark_default")
    except AirflowNotFoundException:
        return found
    return on_cluster(found, connection.host or "", connection.port, connection.extra_dejson)


def run_key() -> str:
    """A name for what this run writes: the same on a retry, another in the next run."""
    from recsys.storage import layout

    return layout.run_key(get_current_context()["dag_run"].run_id)


def announce(outlet_events: Any, asset: Asset, document: dict[str, Any], plan: dict[str, Any]) -> dict[str, Any]:
    """Attach what was published, and the settings that travel on, to the asset event; returns the document."""
    outlet_events[asset].extra = {**document, "conf": plan["conf"]}
    return document
