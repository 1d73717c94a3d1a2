"""What the rating scale of a snapshot means for its training."""

import functools
import logging
from collections.abc import Callable, Mapping
from typing import Any, Concatenate, ParamSpec, TypeVar

from recsys.config import NO_RATINGS, Settings, TrainConfig
from recsys.errors import ConfigError
from recsys.rating_scales import HALF_STARS, parse_scale
from recsys.storage import layout
from recsys.storage.opening import open_store
from recsys.storage.tables import read_json

log = logging.getLogger(__name__)

Args = ParamSpec("Args")
First = TypeVar("First", str, dict[str, Any])
Result = TypeVar("Result")

_HIGH = 0.75


def stars_on(scale: str) -> tuple[float, ...]:
    """The ratings of a snapshot's scale; half stars where a snapshot of old does not say."""
    if scale == NO_RATINGS:
        return (1.0,)
    return parse_scale(scale) if scale else HALF_STARS


def relevant_on(scale: str, asked: float = 0.0) -> float:
    """The rating from which a movie counts as a good recommendation.

    Raises:
        ConfigError: what is asked for is above the scale, so that nothing could be good.

    >>> relevant_on("0.5-5/0.5"), relevant_on("1-5/1"), relevant_on("1-10/1"), relevant_on("0-1/1"), relevant_on("none")
    (4.0, 4.0, 8.0, 1.0, 1.0)
    """
    stars = stars_on(scale)
    if asked > stars[-1]:
        raise ConfigError(
            f"relevant_rating {asked:g} is above the highest rating of the scale {scale}, so no movie could be a good "
            f"recommendation. Nothing was started. Set relevant_rating to {stars[-1]:g} or less, or to 0."
        )
    return asked or next(star for star in stars if star >= stars[0] + _HIGH * (stars[-1] - stars[0]))


def on_scale(
    job: Callable[Concatenate[First, TrainConfig, Args], Result],
) -> Callable[Concatenate[First, TrainConfig, Args], Result]:
    """Give a job of the training the config with `relevant_rating` as the snapshot's scale has it.

    Splits by time are refused for a snapshot without times.
    """

    @functools.wraps(job)
    def scaled(first: First, config: TrainConfig, /, *args: Args.args, **kwargs: Args.kwargs) -> Result:
        given = [value for value in (*args, *kwargs.values()) if isinstance(value, Settings)]
        store = open_store((given[0] if given else Settings.load()).resolved_store_url)
        snapshot_id = first if isinstance(first, str) else first["snapshot_id"]
        manifest = read_json(store, layout.snapshot_manifest(snapshot_id))
        _check_times(manifest, config)
        if manifest.get("rating_scale") == NO_RATINGS:
            log.warning("%s has no ratings: the rating model learns nothing, predicted ratings are 1", snapshot_id)
        relevant = relevant_on(manifest.get("rating_scale", ""), config.relevant_rating)
        return job(first, config.model_copy(update={"relevant_rating": relevant}), *args, **kwargs)

    return scaled


def _check_times(manifest: Mapping[str, Any], config: TrainConfig) -> None:
    has_times = manifest.get("lineage", {}).get("reading", {}).get("times") != "none"
    if not has_times and config.split in ("time", "last_n"):
        raise ConfigError(
            f"{manifest['snapshot_id']} was taken in with times=none, so split={config.split} has no times to split "
            "by. Nothing was started. Choose split=random, per_user or per_movie."
        )
