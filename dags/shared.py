"""What the four DAGs share: their assets, defaults and trigger forms, and how settings travel with the data.

A value given on the form of one DAG is carried along in the asset event it causes, and is the default of
every DAG after it. A DAG's own form wins. `configure`, the first task of each DAG, works this out once, so
all tasks of a run see the same settings and the same upstream data whatever is published meanwhile.
"""

import logging
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

import events
from airflow.sdk import (
    Asset,
    AssetAlias,
    ExceptionRetryPolicy,
    Param,
    RetryAction,
    RetryRule,
    get_current_context,
    task,
)
from airflow.sdk.exceptions import AirflowSkipException

from recsys.config import CHAIN, Settings, parse_chain
from recsys.errors import ConfigError, RecsysError
from recsys.messages import Message

if TYPE_CHECKING:
    from recsys.workspace import Workspace

Upstream = TypeVar("Upstream", bound=Message)

log = logging.getLogger("recsys.dags")
# Events of which a DAG remembers who took them.
_REMEMBERED = 200

RATINGS = Asset(name="ratings", uri="x-recsys://ratings", group="recsys")
CHAMPION = Asset(name="champion", uri="x-recsys://champion", group="recsys")
RECOMMENDATIONS = Asset(name="recommendations", uri="x-recsys://recommendations", group="recsys")
POSTERS = Asset(name="posters", uri="x-recsys://posters", group="recsys")

# One Spark session at a time: a pool of one slot, made when the stack starts.
SPARK = {"pool": "spark", "execution_timeout": timedelta(hours=12)}


def hide_secrets(_context: Any) -> None:
    """Tell Airflow which values its logs must not show; each task is a process of its own, so each does it."""
    from airflow.sdk.log import mask_secret

    for secret in Settings.load().secrets():
        mask_secret(secret)


TRANSIENT = [
    "recsys.errors.TransientError",
    "builtins.ConnectionError",
    "builtins.TimeoutError",
    "py4j.protocol.Py4JNetworkError",  # the JVM is gone
]
DEFAULT_ARGS = {
    "owner": "recsys",
    "on_execute_callback": hide_secrets,
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


def configure(source: Asset, refresh: Callable[[dict[str, Any]], dict[str, Any]] = dict) -> Any:
    """The first task of a DAG: settle its settings and the event of `source` it works on; see `plan` and `events`.

    Args:
        source: the asset the DAG is started by.
        refresh: brings what the event announced up to date, where it may have changed since. It must not fail for
            what it finds: only a task that succeeds can announce other data again.
    """
    again = AssetAlias(f"{source.name}_again")

    @task(task_id="configure", inlets=[source], outlets=[again], multiple_outputs=False)
    def configure(*, dag_run: Any = None, inlet_events: Any = None, triggering_asset_events: Any = None,
                  outlet_events: Any = None, asset_state_store: Any = None) -> dict:  # fmt: skip
        """Settle the settings of this run, and the data it works on; refuse unknown or impossible settings.

        Its return value (XCom tab) shows what every other task of this run uses, and what became of other events
        that waited.
        """
        _repair_pointer()
        triggering = list(triggering_asset_events.get(source, ()))
        choice = _choice(dag_run, source, triggering, inlet_events, asset_state_store[source])
        if choice is None and dag_run.dag_id != "ingest_ratings":
            raise ConfigError(
                f"{dag_run.dag_id} works on {source.name}, and none was published yet. Nothing was started. "
                "Trigger ingest_ratings; the rest of the chain follows by itself."
            )
        settled = plan(dag_run.dag_id, dict(dag_run.conf or {}), choice.event.extra if choice else {})
        if choice is None:
            return settled
        settled["source"] = refresh(settled["source"])
        _report(choice)
        for event in choice.postponed:
            outlet_events[again].add(source, extra=event.repeated)
        return {**settled, **choice.labels}

    return configure()


def _repair_pointer() -> None:
    """Finish what a publisher that was killed left undone; a store that is away is for later tasks to report."""
    from recsys.storage import releases

    try:
        releases.repair(workspace().store)
    except RecsysError as error:
        log.warning("The pointer to the current release could not be looked at: %s", error)


def _choice(dag_run: Any, source: Asset, triggering: list[Any], inlet_events: Any, memory: Any) -> events.Choice | None:
    """The event of `source` a run works on; None where there is none, or the run starts afresh.

    `memory` keeps which run took which event: Airflow hands those that came late to the next run too.
    """
    if triggering:
        newest = max(event.timestamp for event in triggering)
        later = inlet_events[source].after(newest.isoformat())
        if waiting := events.publications(events.pending(triggering, later, dag_run.start_date)):
            taken = memory.get(dag_run.dag_id, {})
            # A run that was cleared takes its own again.
            choice = events.choose(
                (each for each in waiting if taken.get(each.name, dag_run.run_id) == dag_run.run_id), events.since()
            )
            if choice is None:
                raise AirflowSkipException(
                    f"Nothing is left to do; taken or given up: {[each.label for each in waiting]}."
                )
            taken |= dict.fromkeys(choice.settled, dag_run.run_id)
            memory.set(dag_run.dag_id, dict(list(taken.items())[-_REMEMBERED:]))
            return choice
    # A person who triggers the ingest by hand starts afresh; the weekly run repeats the last one.
    if dag_run.dag_id == "ingest_ratings" and dag_run.run_type != "scheduled":
        return None
    published = events.publications(inlet_events[source])
    return events.Choice(published[-1]) if published else None


def _report(choice: events.Choice) -> None:
    """Say in the log which event this run works on, and why not on the others."""
    reasons = {
        "postponed: a run of its own follows": choice.postponed,
        "superseded by a newer one of the same data set": choice.superseded,
        "dropped, as the run it belongs to was given up": choice.dropped,
    }
    log.info("this run works on %s, published by %s", choice.event.dataset, choice.event.run_id)
    for reason, others in reasons.items():
        for event in others:
            log.warning("%s, published by %s: %s", event.dataset, event.run_id, reason)


def config(plan: dict[str, Any]) -> Any:
    """The running DAG's config, from what `configure` returned."""
    return CHAIN[get_current_context()["dag_run"].dag_id].parse(plan["config"])


def settings() -> Settings:
    """Settings of a task that uses Spark: those of the environment, on the cluster of the connection `spark_default`.

    Without that connection, or with ``RECSYS_SPARK_MASTER`` set, the environment alone decides.
    """
    from airflow.sdk import Connection
    from airflow.sdk.exceptions import AirflowNotFoundException

    from recsys.spark.masters import on_cluster

    found = Settings.load()
    if "spark_master" in found.model_fields_set:
        return found
    try:
        connection = Connection.get("spark_default")
    except AirflowNotFoundException:
        return found
    return on_cluster(found, connection.host or "", connection.port, connection.extra_dejson)


def workspace() -> "Workspace":
    """The workspace of a task that uses no Spark."""
    from recsys.workspace import Workspace

    return Workspace(Settings.load())


def spark_workspace() -> "Workspace":
    """The workspace of a task that uses Spark, which runs as `settings` says."""
    from recsys.workspace import Workspace

    return Workspace(settings())


def upstream(kind: type[Upstream], plan: dict[str, Any]) -> Upstream:
    """What the event announced that started this run."""
    return kind.read(plan["source"])


def run_key() -> str:
    """A name for what this run writes: the same on a retry, another in the next run."""
    from recsys.storage import layout

    return layout.run_key(get_current_context()["dag_run"].run_id)


def announce(
    outlet_events: Any, asset: Asset, published: Message | dict[str, Any], plan: dict[str, Any]
) -> dict[str, Any]:
    """Attach what was published, and the settings that travel on, to the asset event; returns it as JSON."""
    document = published.to_json() if isinstance(published, Message) else published
    dataset = {"dataset": plan["source"]["dataset"]} if "dataset" in plan["source"] else {}
    outlet_events[asset].extra = {**dataset, **document, "conf": plan["conf"]}
    return document
