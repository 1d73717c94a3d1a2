"""What a recommender knows of some of its users: what travels to a task that makes their lists, and no more."""

import io
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from recsys.models.factors import Floats, Ids


@dataclass(frozen=True)
class UserRows:
    """The users' side of both models, for some users; ids ascend.

    Attributes:
        ranking_ids: users the ranking model knows; shape (n,).
        ranking: their factors; shape (n, rank).
        residual_ids: users the rating model has factors for; shape (m,).
        residuals: those factors; shape (m, rating rank).
        bias_ids: users it has a bias for; shape (b,).
        biases: those; shape (b,).
    """

    ranking_ids: Ids
    ranking: Floats
    residual_ids: Ids
    residuals: Floats
    bias_ids: Ids
    biases: Floats

    def between(self, first: int, last: int) -> "UserRows":
        """Those of the users from one id to another, both included; views, nothing is copied."""
        found: list[Any] = []
        for ids, rows in (
            (self.ranking_ids, self.ranking),
            (self.residual_ids, self.residuals),
            (self.bias_ids, self.biases),
        ):
            at = slice(np.searchsorted(ids, first), np.searchsorted(ids, last, side="right"))
            found += [ids[at], rows[at]]
        return UserRows(*found)

    def to_bytes(self) -> bytes:
        """All arrays as one uncompressed ``.npz``."""
        buffer = io.BytesIO()
        np.savez(buffer, **{field.name: getattr(self, field.name) for field in fields(self)})
        return buffer.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes) -> "UserRows":
        """The inverse of `to_bytes`. Pickled objects are refused."""
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            return cls(**{field.name: arrays[field.name] for field in fields(cls)})
