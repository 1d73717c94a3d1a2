"""Searches, fits, evaluates and registers a challenger, and makes it champion if it earned it.

**Steps.** `configure` → `split` → `search` → `fit` → `evaluate` → `register` → `promote`. Promoting emits the asset
`champion`, which starts `score_users`, also when the present champion stays: new ratings want new lists.

**When.** Each time a snapshot is published; or by hand, on the last snapshot.

**What to look at.** The run in MLflow says in its description why these candidates were chosen, and carries
`training.html`: every trial, the learning curves, and how the model does on the holdout beside the baselines.
`strategy` says how candidates are found, `search_minutes` how long that may take, `split` what is held out, `n_members`
how many fits a model is made of.

**What can go wrong, and what to do then.**

* `search` or `fit` fails for memory: raise `RECSYS_SPARK_DRIVER_MEMORY` or lower `max_rank`, then clear the task.
* `promote` is skipped: the gate refused the first model of this data, and there is no champion to serve instead. The
  log says why. No lists are made. Widen the search (`ranking_trials`), or bring in more ratings.
* Somebody deleted the run or the experiment in MLflow: the message says how to restore it.
* Anything else: the trials so far are kept; clear the failed task and it goes on from the step before.
"""

from typing import Any

import shared
from airflow.sdk import dag, task

from recsys.messages import EvaluationResult, ModelVersion, SearchResult, SplitRef, TrainedModel


@dag(
    schedule=[shared.RATINGS],
    params=shared.params("train_model"),
    tags=["recsys", "training"],
    doc_md=__doc__,
    **shared.DAG_DEFAULTS,
)
def train_model() -> None:
    @task(multiple_outputs=False)
    def split(plan: dict) -> dict[str, Any]:
        """Keep the holdout apart from everything that is trained; the same one for the same snapshot and seed."""
        from recsys.training import tasks

        snapshot_id = plan["source"]["snapshot_id"]
        return tasks.split(shared.workspace(), snapshot_id, shared.config(plan), shared.run_key()).to_json()

    @task(multiple_outputs=False, **shared.SPARK)
    def search(split: dict, plan: dict) -> dict[str, Any]:
        """Cross-validate the candidates, each trial a nested MLflow run; returns the best."""
        from recsys.training import tasks

        return tasks.search(shared.spark_workspace(), SplitRef.read(split), shared.config(plan)).to_json()

    @task(multiple_outputs=False, **shared.SPARK)
    def fit(searched: dict, plan: dict) -> dict[str, Any]:
        """Fit the best candidates on all of the training part."""
        from recsys.training import tasks

        return tasks.fit(shared.spark_workspace(), SearchResult.read(searched), shared.config(plan)).to_json()

    @task(multiple_outputs=False)
    def evaluate(trained: dict, plan: dict) -> dict[str, Any]:
        """Open the holdout, once: the challenger beside the champion and the baselines."""
        from recsys.training import tasks

        return tasks.evaluate(shared.workspace(), TrainedModel.read(trained), shared.config(plan)).to_json()

    @task(multiple_outputs=False)
    def register(evaluated: dict, plan: dict) -> dict[str, Any]:
        """Add the challenger to MLflow's registry, whatever the gate will say."""
        from recsys.training import tasks

        return tasks.register(shared.workspace(), EvaluationResult.read(evaluated), shared.config(plan)).to_json()

    @task(multiple_outputs=False, outlets=[shared.CHAMPION])
    def promote(evaluated: dict, version: dict, plan: dict, *, outlet_events: Any = None) -> dict[str, Any]:
        """Move the alias `champion` if the challenger earned it; returns the model that is to be served."""
        from airflow.sdk.exceptions import AirflowSkipException

        from recsys.errors import RefusedError
        from recsys.training import tasks

        challenger = EvaluationResult.read(evaluated), ModelVersion.read(version)
        try:
            champion = tasks.promote(shared.workspace(), *challenger, shared.config(plan))
        except RefusedError as refusal:  # no failure, and `score_users` is not started
            raise AirflowSkipException(str(refusal)) from refusal
        return shared.announce(outlet_events, shared.CHAMPION, champion, plan)

    plan = shared.configure(shared.RATINGS)
    evaluated = evaluate(fit(search(split(plan), plan), plan), plan)
    promote(evaluated, register(evaluated, plan), plan)


train_model()
