"""Brings the posters of the movies on the lists into the object store, and writes a manifest of them.

**Steps.** `configure` → `plan_batches` → `fetch` (one mapped task per batch, one at a time, so that `concurrency` is
what a host sees) → `write_manifest`, which emits the asset `posters`. All of them work on the release of the event
that started the run, whatever is published meanwhile.

**When.** Each time lists are published; or by hand, for the newest release.

**What can go wrong, and what to do then.**

* A movie has no poster where it was looked for, or no id to look for it, or no source is configured: it gets a title
  card. The manifest marks it (`is_drawn`) and says why (`drawn_because`). Configure a source, and trigger this DAG.
* A poster is no image: it stands in the manifest as failed, and the run goes on.
* `fetch` fails: the source is away or refuses (it was retried). Clear the task; posters that are there are not
  fetched again.
* `plan_batches` says that a version is gone: its tables were pruned. Trigger this DAG for the newest release.
* The movies are invented (`sample`): the posters then come from a small local site that the task serves itself.
"""

from datetime import timedelta
from typing import Any

import shared
from airflow.sdk import dag, task

from recsys.messages import PosterPlan, PublishedTables


@dag(
    schedule=[shared.RECOMMENDATIONS],
    params=shared.params("fetch_posters"),
    tags=["recsys", "posters"],
    doc_md=__doc__,
    **shared.DAG_DEFAULTS,
)
def fetch_posters() -> None:
    @task(multiple_outputs=False)
    def plan_batches(plan: dict, *, ti: Any = None) -> list[list[int]]:
        """List the movies whose posters are missing, the most recommended first, in batches."""
        from airflow.sdk.configuration import conf

        from recsys.posters import tasks

        max_batches = conf.getint("core", "max_map_length", fallback=1024)
        planned = tasks.plan(
            shared.workspace(), shared.upstream(PublishedTables, plan), shared.config(plan), max_batches=max_batches
        )
        ti.xcom_push("planned", planned.model_copy(update={"batches": ()}).to_json())
        return [list(batch) for batch in planned.batches]

    # A mapped task does not take its text from the function. Hosts may ask for pauses, so it may take long.
    @task(
        multiple_outputs=False,
        max_active_tis_per_dag=1,
        execution_timeout=timedelta(hours=12),
        doc_md="Fetch, check and store the posters of one batch.",
    )
    def fetch(batch: list[int], plan: dict) -> list[dict[str, Any]]:
        """Fetch, check and store the posters of one batch; returns a row for each movie."""
        from recsys.posters import tasks

        tables = shared.upstream(PublishedTables, plan)
        return [entry.to_json() for entry in tasks.fetch(shared.workspace(), batch, tables, shared.config(plan))]

    # With nothing to fetch the mapped task is skipped; the manifest is written all the same.
    @task(multiple_outputs=False, trigger_rule="none_failed_min_one_success", outlets=[shared.POSTERS])
    def write_manifest(planned: dict, results: Any, plan: dict, *, outlet_events: Any = None) -> dict[str, Any]:
        """Write what was fetched, drawn and refused, and where each image stands."""
        from recsys.posters import tasks
        from recsys.posters.manifest import PosterEntry

        entries = [PosterEntry.read(row) for batch in results or () for row in batch]
        written = tasks.write_manifest(shared.workspace(), entries, PosterPlan.read(planned))
        return shared.announce(outlet_events, shared.POSTERS, written, plan)

    plan = shared.configure(shared.RECOMMENDATIONS)
    batches = plan_batches(plan)
    write_manifest(batches["planned"], fetch.partial(plan=plan).expand(batch=batches), plan)


fetch_posters()
