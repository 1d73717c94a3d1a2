"""What the rating scale of a snapshot means for its training."""

import logging
import math
from collections.abc import Mapping

from recsys.config import NO_RATINGS, Preference, TrainConfig
from recsys.errors import ConfigError
from recsys.rating_scales import stars_on
from recsys.storage.snapshots import SnapshotManifest

log = logging.getLogger(__name__)

_HIGH = 0.75
# Heavy users and favourites have counts a thousand times those of others, so their root goes first.
_OF_COUNTS: tuple[Preference, ...] = ("root", "stars", "squared", "all")


def relevant_on(scale: str, asked: float = 0.0) -> float:
    """The rating from which a movie counts as a good recommendation.

    Raises:
        ConfigError: what is asked for is above the scale, so that nothing could be good.

    >>> relevant_on("0.5-5/0.5"), relevant_on("1-5/1"), relevant_on("1-10/1"), relevant_on("0-1/1"), relevant_on("none")
    (4.0, 4.0, 8.0, 1.0, 1.0)
    """
    ratings = stars_on(scale)
    if not ratings:
        return asked or 1.0
    if asked > ratings[-1]:
        raise ConfigError(
            f"relevant_rating {asked:g} is above the highest rating of the scale {scale}, so no movie could be a good "
            f"recommendation. Nothing was started. Set relevant_rating to {ratings[-1]:g} or less, or to 0."
        )
    return asked or next(rating for rating in ratings if rating >= ratings[0] + _HIGH * (ratings[-1] - ratings[0]))


def on_scale(config: TrainConfig, manifest: SnapshotManifest) -> TrainConfig:
    """The config as a snapshot's rating scale has it: `relevant_rating`, and for counts more.

    Args:
        config: what was asked for.
        manifest: of the snapshot.

    Raises:
        ConfigError: it cannot be trained on this snapshot, for instance by time where there are no times.
    """
    if manifest.lineage.reading.times == "none" and config.split in ("time", "last_n"):
        raise ConfigError(
            f"{manifest.snapshot_id} was taken in with times=none, so split={config.split} has no times to split "
            "by. Nothing was started. Choose split=random, per_user or per_movie."
        )
    if not manifest.has_ratings:
        log.info(
            "%s has no ratings: the ranking model learns from counts, and there is no rating model",
            manifest.snapshot_id,
        )
        return for_counts(config, manifest.summed.to_json() if manifest.summed else {})
    relevant = relevant_on(manifest.rating_scale, config.relevant_rating)
    return config.model_copy(update={"relevant_rating": relevant})


def for_counts(config: TrainConfig, summed: Mapping[str, float]) -> TrainConfig:
    """The config of a training on counts: no rating model, and what a count may say to the ranking model.

    Args:
        config: what was asked for.
        summed: ``lowest`` and ``highest`` count of a user and a movie, where they are known.

    Raises:
        ConfigError: none of the preferences that were asked for says anything of counts.

    >>> found = for_counts(TrainConfig(), {"lowest": 0.5, "highest": 9.0})
    >>> found.rating_trials, found.relevant_rating, found.preferences
    (0, 0.5, ('root', 'stars', 'squared', 'all'))
    >>> for_counts(TrainConfig(), {"lowest": 1.0, "highest": 1.0}).preferences  # all say the same
    ('all',)
    """
    lowest, highest = summed.get("lowest", 1.0), summed.get("highest", math.inf)
    is_default = config.preferences == TrainConfig.model_fields["preferences"].default
    kept = _OF_COUNTS if is_default else tuple(name for name in config.preferences if name in _OF_COUNTS)
    if not kept:
        raise ConfigError(
            f"preferences={','.join(config.preferences)} says nothing of counts, and nobody rated. Nothing was "
            f"started. Set preferences to some of {', '.join(_OF_COUNTS)}."
        )
    changed = {
        "rating_trials": 0,
        "relevant_rating": relevant_on(NO_RATINGS, config.relevant_rating or min(1.0, lowest)),
        "preferences": ("all",) if lowest == highest else kept,
        "baselines": tuple(name for name in config.baselines if name != "bias_order"),  # orders by mean ratings
    }
    return config.model_copy(update=changed)
