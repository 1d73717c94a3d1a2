"""Who is champion of a registered model: a create-only log in the store, which the alias in MLflow's registry follows.

An alias can be moved, but not on condition that nobody else has moved it. So a promotion first takes the next number of
the log, which of several at once only one can; then it moves the alias, and then notes that this was done. A promotion
that was killed between two of these steps is finished by whoever looks next. An alias that differs from a finished
promotion was moved by a person in MLflow, and holds.
"""

import logging
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Self

from recsys.errors import AlreadyExistsError, NotFoundError
from recsys.messages import ChampionRef, ModelVersion
from recsys.registry.training_runs import registered_name
from recsys.storage import layout
from recsys.storage.base import Store
from recsys.storage.documents import Document
from recsys.storage.tables import write_json
from recsys.tracking.tracking import CHAMPION, Tracking
from recsys.workspace import Workspace

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RegisteredModel:
    """A registered version, and the training it comes from.

    Attributes:
        model: the version.
        mlflow_run_id: of the training.
        tags: of the version, which people may edit.
    """

    model: ModelVersion
    mlflow_run_id: str
    tags: Mapping[str, str]

    @classmethod
    def of(cls, name: str, found: Mapping[str, Any]) -> Self:
        """A version of a model, as `Tracking.version` describes it."""
        model = ModelVersion(name=name, number=int(found["version"]), uri=found["uri"])
        return cls(model, found["run_id"], found.get("tags", {}))

    @property
    def identity(self) -> tuple[str, str]:
        """A registry that was emptied numbers its versions from 1 again, so the run is part of it."""
        return str(self.model.number), self.mlflow_run_id


class Promotion(Document):
    """An entry of the log: a version became the champion.

    Attributes:
        number: of the entry, from 1.
        version: the number of the promoted version.
        run_id: the MLflow run of its training.
        opponent: that of the champion it was compared with; None where there was none.
        evidence: key of the evaluation that says so.
        reason: what that evaluation says.
        promoted_at: UTC.
    """

    number: int
    version: str
    run_id: str
    opponent: str | None
    evidence: str
    reason: str
    promoted_at: str

    @property
    def identity(self) -> tuple[str, str]:
        """That of the `RegisteredModel` that was promoted."""
        return self.version, self.run_id


class Champions:
    """The champions of one registered model, the present one and its log.

    Args:
        store: where the log is.
        tracking: where the alias is.
        name: of the registered model.
    """

    def __init__(self, store: Store, tracking: Tracking, name: str) -> None:
        self._store, self._tracking, self._name = store, tracking, name

    def present(self) -> RegisteredModel | None:
        """The champion; None where there is none. A promotion that was killed is finished."""
        self._settle()
        found, last = self._tracking.by_alias(self._name, CHAMPION), self.last()
        champion = RegisteredModel.of(self._name, found) if found else None
        if last and not _is(champion, last):
            now = f"on version {champion.model.number}" if champion else "gone"
            log.warning(
                "the last promotion of %s was version %s, and the alias is %s: somebody changed it in MLflow, and that "
                "holds", self._name, last.version, now,
            )  # fmt: skip
        return champion

    def last(self) -> Promotion | None:
        """The newest entry of the log; None before the first."""
        keys = [key for key in self._store.list(layout.promotions(self._name)) if re.search(r"/\d+\.json$", key)]
        return Promotion.load(self._store, keys[-1]) if keys else None

    def promote(
        self, challenger: RegisteredModel, opponent: RegisteredModel | None, evidence: str, reason: str
    ) -> bool:
        """Make a version the champion, unless somebody else made another one meanwhile.

        Args:
            challenger: the version.
            opponent: the champion it was compared with.
            evidence: key of the evaluation that says so.
            reason: what that evaluation says.

        Returns:
            Whether it was this promotion that took place. If not, there is another champion to compare with.
        """
        last = self.last()
        if not _is(self.present(), opponent):
            return False
        entry = Promotion(
            number=last.number + 1 if last else 1,
            version=str(challenger.model.number),
            run_id=challenger.mlflow_run_id,
            opponent=opponent and opponent.mlflow_run_id,
            evidence=evidence,
            reason=reason,
            promoted_at=datetime.now(UTC).isoformat(timespec="seconds"),
        )
        try:
            entry.write(self._store, layout.promotion(self._name, entry.number))
        except AlreadyExistsError:
            return False
        self._settle()
        return True

    def _settle(self) -> None:
        """Move the alias to the last entry, unless that was done; again where an entry was added meanwhile."""
        moved = None
        while last := self.last():
            done = layout.promotion_done(self._name, last.number)
            if moved is None and self._store.exists(done):
                return
            if last.number == moved:
                with suppress(AlreadyExistsError):
                    write_json(self._store, done, {"version": last.version})
                return
            found = self._tracking.version(self._name, last.version)
            if found and _is(RegisteredModel.of(self._name, found), last):
                self._tracking.set_alias(self._name, CHAMPION, last.version)
            moved = last.number


def _is(one: RegisteredModel | Promotion | None, other: RegisteredModel | Promotion | None) -> bool:
    """Whether both are the same model, or there is neither."""
    return (one and one.identity) == (other and other.identity)


def stored_model(store: Store, tracking: Tracking, champion: RegisteredModel) -> str:
    """The prefix below which the store has a champion's model; fetched from the registry where the store was reset.

    Raises:
        NotFoundError: neither has it.
    """
    # The tag may have been edited away in MLflow, and says what the run does.
    prefix = champion.tags.get("model_prefix") or layout.model(champion.mlflow_run_id)
    key = layout.recommender(prefix)
    if not store.exists(key):
        store.put(key, tracking.recommender_bytes(champion.model.uri), overwrite=True)
    return prefix


def serving(workspace: Workspace, dataset: str, snapshot_id: str) -> ChampionRef:
    """What scoring needs to know: the champion of a dataset, and the snapshot whose users get lists.

    Raises:
        NotFoundError: the dataset has no champion.
    """
    store, tracking = workspace.store, workspace.tracking
    name = registered_name(dataset)
    champions = Champions(store, tracking, name)
    champion = champions.present()
    if champion is None:
        raise NotFoundError(_no_champion(tracking, name, champions.last()))
    return ChampionRef(
        model=champion.model,
        mlflow_run_id=champion.mlflow_run_id,
        model_prefix=stored_model(store, tracking, champion),
        dataset=dataset,
        snapshot_id=snapshot_id,
    )


def _no_champion(tracking: Tracking, name: str, last: Promotion | None) -> str:
    """Why there is none, and what to do: nothing was trained yet, or somebody changed the registry."""
    if last is None:
        return f"{name} has no champion in {tracking.uri}. Run `recsys tune` or the DAG train_model first."
    was = f"version {last.version} of {name} was promoted, and"
    if elsewhere := [uri for uri in tracking.uris_of(last.run_id) if not uri.startswith(f"models:/{name}/")]:
        what = f"is {elsewhere[0]} now: somebody renamed the model. Rename it back to {name}"
    elif tracking.version(name, last.version) is None:
        what = "is not in the registry any more: somebody deleted it. Give another version the alias champion"
    else:
        what = "has no alias champion any more: somebody removed it. Give it back"
    return f"{was} {what} in MLflow ({tracking.uri}), or train anew by `recsys tune` or the DAG train_model."
