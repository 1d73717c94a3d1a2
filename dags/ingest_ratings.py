"""Brings in a dataset, proves it, and publishes it as an immutable snapshot.

**Steps.** `configure` → `download` → `parse` → `validate` → `publish` → `explore`. Publishing emits the asset
`ratings`, which starts `train_model`.

**When.** Mondays at 04:00 UTC, repeating the settings of the last ingest; or by hand (*Trigger*), or `make run`.

**What can go wrong, and what to do then.**

* `download` fails: the network or the host is away (it was retried), or the archive's digest is not the published
  one. Trigger again later, or give the path of a local archive as `dataset`.
* `parse` fails: the archive is not MovieLens-shaped. The message names file and line.
* `validate` fails: the data breaks a rule. Nothing was published and the old snapshot stands; the report
  is named in the message and in the task's log. Fix the source, then trigger again.
* `explore` fails: the snapshot is published all the same; clear the task to draw the report again.
"""

from typing import Any

import shared
from airflow.sdk import CronTriggerTimetable, dag, task


@dag(
    # No start date: with one, the most recent Monday would run at once when the DAG is first seen.
    schedule=CronTriggerTimetable("0 4 * * MON", timezone="UTC", run_immediately=False),
    params=shared.params("ingest_ratings"),
    tags=["recsys", "data"],
    doc_md=__doc__,
    **shared.DAG_DEFAULTS,
)
def ingest_ratings() -> None:
    @task(multiple_outputs=False)
    def download(plan: dict) -> dict[str, Any]:
        """Bring the source archive into the store, or have the sample generator invent one."""
        from recsys.jobs import ingest

        return ingest.download(shared.config(plan), shared.run_key())

    @task(multiple_outputs=False)
    def parse(downloaded: dict) -> dict[str, Any]:
        """Read the archive into typed tables in staging; nobody reads those but `validate`."""
        from recsys.jobs import ingest

        return ingest.parse(downloaded)

    @task(multiple_outputs=False, **shared.SPARK)
    def validate(parsed: dict, plan: dict) -> dict[str, Any]:
        """Hold the tables against every expectation; returns the address of the report, which is written either way."""
        from recsys.jobs import quality

        return quality.validate(parsed, shared.config(plan))

    @task(multiple_outputs=False, outlets=[shared.RATINGS])
    def publish(parsed: dict, plan: dict, *, outlet_events: Any = None) -> dict[str, Any]:
        """Turn staging into an immutable snapshot; from here on `train_model` may start."""
        from recsys.jobs import ingest

        return shared.announce(outlet_events, shared.RATINGS, ingest.publish(parsed), plan)

    @task(multiple_outputs=False, **shared.SPARK)
    def explore(snapshot: dict) -> dict[str, Any]:
        """Draw the exploratory report of the snapshot; returns its address."""
        from recsys.jobs import exploration

        return exploration.explore(snapshot["snapshot_id"])

    plan = shared.configure(shared.RATINGS)
    parsed = parse(download(plan))
    published = publish(parsed, plan)
    validate(parsed, plan) >> published
    explore(published)


ingest_ratings()
