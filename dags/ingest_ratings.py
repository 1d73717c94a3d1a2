"""Brings in a data set, checks it, and publishes it as an immutable snapshot.

**Steps.** `configure` → `download` → `compare` → `parse` → `validate` → `publish` → `explore`, `prune`. Publishing
emits the asset `ratings`, which starts `train_model`. A source with nothing new goes from `compare` to `unchanged`; to
`publish`, where its training is due or asked for (`when_unchanged`); to `announce_champion`, where lists are due.

**When.** Mondays at 04:00 UTC, repeating the settings of the last ingest; or by hand (*Trigger*), or `make run`.

**What can go wrong, and what to do then.**

* `download` fails: the host is away (it was retried), or the digest is not the published one. Trigger again later, or
  give a local archive as `dataset`. `parse` fails: the archive is damaged; the message says where.
* `validate` fails (a rule, or `max_quarantined`): nothing was published. The reports say why; fix the source, or allow
  more knowingly. `explore`, `prune` fail: the snapshot is published all the same; clear the task to do it again.
"""

from typing import Any

import shared
from airflow.sdk import CronTriggerTimetable, dag, task

from recsys.messages import SnapshotRef, SourceArchive, StagedTables


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
        """Bring the source archive into the store, or have the generator make a synthetic one."""
        from recsys.ingest import tasks

        return tasks.download(shared.workspace(), shared.config(plan), shared.run_key()).to_json()

    @task.branch
    def compare(downloaded: dict, plan: dict) -> str:
        """Choose the next task: `parse` for new data; what is due for the snapshot there is; or `unchanged`."""
        from recsys.ingest import tasks

        return tasks.next_task(shared.workspace(), SourceArchive.read(downloaded), shared.config(plan))

    @task(multiple_outputs=False)
    def unchanged(downloaded: dict) -> dict[str, Any]:
        """The source holds nothing new: no new snapshot, no training. Returns a sentence, and the snapshot there is."""
        from recsys.ingest import tasks

        return tasks.unchanged(shared.workspace(), SourceArchive.read(downloaded)).to_json()

    @task(multiple_outputs=False, outlets=[shared.CHAMPION])
    def announce_champion(downloaded: dict, plan: dict, *, outlet_events: Any = None) -> dict[str, Any]:
        """There are no lists of the present champion yet: let `score_users` make them."""
        from recsys.ingest import tasks

        champion = tasks.announce_champion(shared.workspace(), SourceArchive.read(downloaded))
        return shared.announce(outlet_events, shared.CHAMPION, champion, plan)

    @task(multiple_outputs=False)
    def parse(downloaded: dict) -> dict[str, Any]:
        """Read the archive into typed tables in staging; nobody reads those but `validate`."""
        from recsys.ingest import tasks

        return tasks.parse(shared.workspace(), SourceArchive.read(downloaded)).to_json()

    @task(multiple_outputs=False, **shared.SPARK)
    def validate(parsed: dict, plan: dict) -> dict[str, Any]:
        """Check every expectation on the tables, and quarantine faulty rows; the reports are written either way."""
        from recsys.ingest import tasks

        return tasks.validate(shared.spark_workspace(), StagedTables.read(parsed), shared.config(plan)).to_json()

    @task(multiple_outputs=False, outlets=[shared.RATINGS], trigger_rule="none_failed_min_one_success")
    def publish(downloaded: dict, plan: dict, *, outlet_events: Any = None) -> dict[str, Any]:
        """Make the staged tables an immutable snapshot; `train_model` starts then."""
        from recsys.ingest import tasks

        archive = SourceArchive.read(downloaded)
        return shared.announce(outlet_events, shared.RATINGS, tasks.publish(shared.workspace(), archive), plan)

    @task(multiple_outputs=False, **shared.SPARK)
    def explore(snapshot: dict) -> dict[str, Any]:
        """Write the report on the snapshot's data, and what changed since the one before; returns its address."""
        from recsys.ingest import tasks

        return tasks.explore(shared.spark_workspace(), SnapshotRef.read(snapshot).snapshot_id).to_json()

    @task(multiple_outputs=False)
    def prune(snapshot: dict, plan: dict) -> dict[str, Any]:
        """Remove snapshots beyond the last `keep_snapshots`, but none that a live model or table needs."""
        from recsys.lifecycle import retention

        keep = shared.config(plan).keep_snapshots
        return retention.prune(shared.workspace(), SnapshotRef.read(snapshot).dataset, keep).to_json()

    plan = shared.configure(shared.RATINGS)
    downloaded = download(plan)
    parsed = parse(downloaded)
    published = publish(downloaded, plan)
    compare(downloaded, plan) >> [parsed, unchanged(downloaded), published, announce_champion(downloaded, plan)]
    validate(parsed, plan) >> published
    explore(published)
    prune(published, plan)


ingest_ratings()
