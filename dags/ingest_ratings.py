"""Brings in a dataset, proves it, and publishes it as an immutable snapshot.

**Steps.** `configure` → `download` → `compare` → `parse` → `validate` → `publish` → `explore`, `prune`. Publishing
emits the asset `ratings`, which starts `train_model`. A source with nothing new goes from `compare` to `unchanged`: no
new snapshot, no training. But what a failure or a paused DAG left undone is brought about: a snapshot that was not
trained to the end goes to `publish` (as with `when_unchanged`), and a champion without lists to `announce_champion`.

**When.** Mondays at 04:00 UTC, repeating the settings of the last ingest; or by hand (*Trigger*), or `make run`.

**What can go wrong, and what to do then.**

* `download` fails: the host is away (it was retried), or the digest is not the published one. Trigger again later, or
  give a local archive as `dataset`. `parse` fails: the archive is damaged; the message says where.
* `validate` fails: a table breaks a rule, or more rows than `max_quarantined` allows do. Nothing was published; the
  reports say what and why. Fix the source, or allow more knowingly, then trigger again.
* `explore`, `prune` fail: the snapshot is published all the same; clear the task to do it again.
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
        from recsys.ingest import tasks

        return tasks.download(shared.config(plan), shared.run_key())

    @task.branch
    def compare(downloaded: dict, plan: dict) -> str:
        """What is to be done: `parse` what is new; or make up for what is undone; or nothing, as all is `unchanged`."""
        from recsys.ingest import unfinished

        return unfinished.next_task(downloaded, shared.config(plan))

    @task(multiple_outputs=False)
    def unchanged(downloaded: dict) -> dict[str, Any]:
        """The source holds nothing new: no new snapshot, no training. Returns a sentence, and the snapshot there is."""
        from recsys.ingest import tasks

        return tasks.find_unchanged(downloaded)

    @task(multiple_outputs=False, outlets=[shared.CHAMPION])
    def announce_champion(downloaded: dict, plan: dict, *, outlet_events: Any = None) -> dict[str, Any]:
        """There are no lists of the present champion yet: let `score_users` make them."""
        from recsys.ingest import unfinished

        return shared.announce(outlet_events, shared.CHAMPION, unfinished.announce_champion(downloaded), plan)

    @task(multiple_outputs=False)
    def parse(downloaded: dict) -> dict[str, Any]:
        """Read the archive into typed tables in staging; nobody reads those but `validate`."""
        from recsys.ingest import tasks

        return tasks.parse(downloaded)

    @task(multiple_outputs=False, **shared.SPARK)
    def validate(parsed: dict, plan: dict) -> dict[str, Any]:
        """Hold the tables against every expectation, and quarantine faulty rows; the reports are written either way."""
        from recsys.ingest import quality

        return quality.validate(parsed, shared.config(plan), shared.settings())

    @task(multiple_outputs=False, outlets=[shared.RATINGS], trigger_rule="none_failed_min_one_success")
    def publish(downloaded: dict, parsed: dict | None, plan: dict, *, outlet_events: Any = None) -> dict[str, Any]:
        """Turn staging into an immutable snapshot; from here on `train_model` may start."""
        from recsys.ingest import publishing

        return shared.announce(outlet_events, shared.RATINGS, publishing.publish(parsed or downloaded), plan)

    @task(multiple_outputs=False, **shared.SPARK)
    def explore(snapshot: dict) -> dict[str, Any]:
        """Draw the exploratory report of the snapshot, beside the one before; returns its address."""
        from recsys.ingest import eda_task

        return eda_task.explore(snapshot["snapshot_id"], shared.settings())

    @task(multiple_outputs=False)
    def prune(snapshot: dict, plan: dict) -> dict[str, Any]:
        """Remove snapshots beyond the last `keep_snapshots`, but none that a live model or table needs."""
        from recsys.lifecycle import retention

        keep = shared.config(plan).keep_snapshots
        return retention.prune(shared.workspace(), snapshot["dataset"], keep).to_json()

    plan = shared.configure(shared.RATINGS)
    downloaded = download(plan)
    parsed = parse(downloaded)
    published = publish(downloaded, parsed, plan)
    compare(downloaded, plan) >> [parsed, unchanged(downloaded), published, announce_champion(downloaded, plan)]
    validate(parsed, plan) >> published
    explore(published)
    prune(published, plan)


ingest_ratings()
