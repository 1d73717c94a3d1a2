"""Writes the best unseen movies of every user and the neighbours of every movie, and publishes both at once.

**Steps.** `configure` → `score_lists`, `score_similar` → `publish`. Publishing emits the asset `recommendations`, which
starts `fetch_posters`.

**When.** Each time `train_model` ends with a champion, the old one or a new one; or by hand. It uses the model that is
champion when the run starts.

**What can go wrong, and what to do then.**

* A check fails (a seen movie on a list, a duplicate, scores not descending): nothing was published and readers
  keep the release before. The message names the user; that is a bug, so report it with the message.
* `publish` fails: a file it was told of is missing. Clear both scoring tasks.
* A task says that the model is no longer champion: it was replaced or deleted meanwhile. Nothing was published.
  The promotion of another model starts a run of its own. After a deletion, give a version the alias and trigger this.
* The new lists are published and unwanted: `recsys rollback` makes the release before current again.
"""

from typing import Any

import shared
from airflow.sdk import dag, task

from recsys.errors import ConfigError
from recsys.messages import ChampionRef, WrittenTable


@dag(
    schedule=[shared.CHAMPION],
    params=shared.params("score_users"),
    tags=["recsys", "scoring"],
    doc_md=__doc__,
    **shared.DAG_DEFAULTS,
)
def score_users() -> None:
    def present_champion(announced: dict) -> dict[str, Any]:
        from recsys.scoring import tasks

        try:
            champion = ChampionRef.read(announced)
        except ConfigError:
            return announced  # the tasks after this one refuse it; this one has other events to announce again
        return tasks.present_champion(shared.workspace(), champion).to_json()

    @task(multiple_outputs=False, **shared.SPARK)
    def score_lists(plan: dict) -> dict[str, Any]:
        """Write the top k movies each user has not rated; newer users folded in, popular ones for the rest."""
        from recsys.scoring import tasks

        workspace, champion = shared.spark_workspace(), shared.upstream(ChampionRef, plan)
        tasks.check_is_champion(workspace, champion)
        return tasks.score_lists(workspace, champion, shared.config(plan), shared.run_key()).to_json()

    @task(multiple_outputs=False, **shared.SPARK)
    def score_similar(plan: dict) -> dict[str, Any]:
        """Write the nearest movies of each movie, and the catalogue with titles."""
        from recsys.scoring import tasks

        workspace, champion = shared.spark_workspace(), shared.upstream(ChampionRef, plan)
        tasks.check_is_champion(workspace, champion)
        return tasks.score_similar(workspace, champion, shared.config(plan), shared.run_key()).to_json()

    @task(multiple_outputs=False, outlets=[shared.RECOMMENDATIONS])
    def publish(lists: dict, similar: dict, plan: dict, *, outlet_events: Any = None) -> dict[str, Any]:
        """Check what was written and make it the current version, all tables at once."""
        from recsys.scoring import tasks

        workspace, champion = shared.workspace(), shared.upstream(ChampionRef, plan)
        tasks.check_is_champion(workspace, champion)
        written = WrittenTable.read(lists), WrittenTable.read(similar)
        published = tasks.publish(workspace, *written, champion, shared.config(plan))
        return shared.announce(outlet_events, shared.RECOMMENDATIONS, published, plan)

    plan = shared.configure(shared.CHAMPION, present_champion)
    publish(score_lists(plan), score_similar(plan), plan)


score_users()
