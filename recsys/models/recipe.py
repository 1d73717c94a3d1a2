"""How the served factors were made: what folding a new user in has to repeat."""

from typing import Self

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from recsys.errors import DataError
from recsys.models.blend import Blend
from recsys.models.preferences import Scheme


class Member(BaseModel):
    """One ALS fit among those a model is made of, with what it was told.

    Attributes:
        rank: number of its factors.
        reg_param: as MLlib was told.
        alpha: as MLlib was told; None: an explicit fit on what the biases leave over.
        scheme: of `recsys.models.preferences.preference`, as the three below; implicit fits alone.
        power: the same.
        threshold: the same.
        half_life_days: the same.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    rank: int
    reg_param: float
    alpha: float | None = None
    scheme: Scheme = "stars"
    power: float = 1.0
    threshold: float = 4.0
    half_life_days: float | None = None


class Recipe(BaseModel):
    """The members of both models, in the order in which their factors stand side by side.

    Attributes:
        ranking: members whose mean the ranking model is.
        rating: members of the rating model.
        blend: levels, slopes and shift of `recsys.models.blend.Blend`; None: the rating model is its one member.
        newest_ms: the newest training timestamp, from which the age of a rating counts.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    ranking: tuple[Member, ...]
    rating: tuple[Member, ...]
    blend: tuple[tuple[float, ...], tuple[float, ...], tuple[float, ...]] | None = None
    newest_ms: int = 0

    def weights(self) -> Blend | None:
        return None if self.blend is None else Blend(*(np.array(values) for values in self.blend))

    def ranks(self) -> tuple[int, int]:
        """How many factors the ranking model and the rating model have."""
        n_shift = 0 if self.blend is None else 3
        return sum(member.rank for member in self.ranking), sum(member.rank for member in self.rating) + n_shift

    @classmethod
    def parse(cls, text: str) -> Self:
        """From the JSON of `model_dump_json`.

        Raises:
            DataError: it is none that this version understands.
        """
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            fault = error.errors()[0]
            raise DataError(
                f"the model's recipe is not understood: {fault['msg']} at {fault['loc']}. "
                "Nothing was loaded. Train the model again with this version."
            ) from error
