"""Who is champion of a registered model: a create-only log in the store, which the alias in MLflow's registry follows.

An alias can be moved, but not on condition that nobody else has moved it. So a promotion first takes the next number of
the log, which of several at once only one can; then it moves the alias, and then notes that this was done. A promotion
that was killed between two of these steps is finished by whoever looks next. An alias that differs from a finished
promotion was moved by a person in MLflow, and holds.
"""

import logging
import re
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from recsys.config import Settings
from recsys.errors import AlreadyExistsError, NotFoundError
from recsys.registry.training_runs import registered_name
from recsys.storage import layout
from recsys.storage.base import Store
from recsys.storage.opening import open_store
from recsys.storage.tables import read_json, write_json
from recsys.tracking.tracking import CHAMPION, Tracking

log = logging.getLogger(__name__)


class Champions:
    """The champions of one registered model, the present one and its log.

    Args:
        store: where the log is.
        tracking: where the alias is.
        name: of the registered model.
    """

    def __init__(self, store: Store, tracking: Tracking, name: str) -> None:
        self._store, self._tracking, self._name = store, tracking, name

    def present(self) -> dict[str, Any] | None:
        """The champion as of `Tracking.by_alias`; None where there is none. A promotion that was killed is finished."""
        self._settle()
        champion, last = self._tracking.by_alias(self._name, CHAMPION), self.last()
        if last and not _is(champion, last):
            now = f"on version {champion['version']}" if champion else "gone"
            log.warning(
                "the last promotion of %s was version %s, and the alias is %s: somebody changed it in MLflow, and that "
                "holds", self._name, last["version"], now,
            )  # fmt: skip
        return champion

    def last(self) -> dict[str, Any] | None:
        """The newest entry of the log: ``{number, version, run_id, opponent, evidence, reason, promoted_at}``."""
        keys = [key for key in self._store.list(layout.promotions(self._name)) if re.search(r"/\d+\.json$", key)]
        return dict(read_json(self._store, keys[-1])) if keys else None

    def promote(self, model: dict[str, Any], opponent: dict[str, Any] | None, evidence: str, reason: str) -> bool:
        """Make a version the champion, unless somebody else made another one meanwhile.

        Args:
            model: ``version`` and ``run_id`` of it.
            opponent: the champion it was compared with.
            evidence: key of the evaluation that says so.
            reason: what that evaluation says.

        Returns:
            Whether it was this promotion that took place. If not, there is another champion to compare with.
        """
        last = self.last()
        if not _is(self.present(), opponent):
            return False
        entry = {
            "number": last["number"] + 1 if last else 1,
            "version": model["version"],
            "run_id": model["run_id"],
            "opponent": opponent and opponent["run_id"],
            "evidence": evidence,
            "reason": reason,
            "promoted_at": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        try:
            write_json(self._store, layout.promotion(self._name, entry["number"]), entry)
        except AlreadyExistsError:
            return False
        self._settle()
        return True

    def _settle(self) -> None:
        """Move the alias to the last entry, unless that was done; again where an entry was added meanwhile."""
        moved = None
        while last := self.last():
            done = layout.promotion_done(self._name, last["number"])
            if moved is None and self._store.exists(done):
                return
            if last["number"] == moved:
                with suppress(AlreadyExistsError):
                    write_json(self._store, done, {"version": last["version"]})
                return
            if _is(self._tracking.version(self._name, last["version"]), last):
                self._tracking.set_alias(self._name, CHAMPION, last["version"])
            moved = last["number"]


def _is(one: dict[str, Any] | None, other: dict[str, Any] | None) -> bool:
    """Whether both are the same model: a registry that was emptied numbers its versions from 1 again."""
    return (one and (one["version"], one["run_id"])) == (other and (other["version"], other["run_id"]))


def stored_model(store: Store, tracking: Tracking, champion: dict[str, Any]) -> str:
    """The prefix below which the store has a champion's model; fetched from the registry where the store was reset.

    Raises:
        NotFoundError: neither has it.
    """
    # The tag may have been edited away in MLflow, and says what the run does.
    prefix = str(champion["tags"].get("model_prefix") or layout.model(champion["run_id"]))
    key = layout.recommender(prefix)
    if not store.exists(key):
        store.put(key, tracking.recommender_bytes(champion["uri"]), overwrite=True)
    return prefix


def serving(dataset: str, snapshot_id: str, settings: Settings | None = None) -> dict[str, Any]:
    """What scoring needs to know: the champion of a dataset, and the snapshot whose users get lists.

    Raises:
        NotFoundError: the dataset has no champion.
    """
    settings = settings or Settings.load()
    store, tracking = open_store(settings.resolved_store_url), Tracking(settings)
    name = registered_name(dataset)
    champions = Champions(store, tracking, name)
    champion = champions.present()
    if champion is None:
        raise NotFoundError(_no_champion(tracking, name, champions.last()))
    return {
        "model_name": name,
        "model_version": f"{name}-v{champion['version']}",
        "model_uri": champion["uri"],
        "model_prefix": stored_model(store, tracking, champion),
        "run_id": champion["run_id"],
        "snapshot_id": snapshot_id,
        "dataset": dataset,
    }


def _no_champion(tracking: Tracking, name: str, last: dict[str, Any] | None) -> str:
    """Why there is none, and what to do: nothing was trained yet, or somebody changed the registry."""
    if last is None:
        return f"{name} has no champion in {tracking.uri}. Run `recsys tune` or the DAG train_model first."
    was = f"version {last['version']} of {name} was promoted, and"
    if elsewhere := [uri for uri in tracking.uris_of(last["run_id"]) if not uri.startswith(f"models:/{name}/")]:
        what = f"is {elsewhere[0]} now: somebody renamed the model. Rename it back to {name}"
    elif tracking.version(name, last["version"]) is None:
        what = "is not in the registry any more: somebody deleted it. Give another version the alias champion"
    else:
        what = "has no alias champion any more: somebody removed it. Give it back"
    return f"{was} {what} in MLflow ({tracking.uri}), or train anew by `recsys tune` or the DAG train_model."
