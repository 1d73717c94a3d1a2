"""What the numbers in the column of ratings are, and how the report speaks of them."""

import math
from typing import NamedTuple

_MOST_BINS = 20
_STARS = 5.0


class Scale(NamedTuple):
    """The scale of a snapshot's ratings; half stars by default.

    Attributes:
        low: the lowest rating.
        high: the highest.
        step: the distance of two neighbours.
        has_ratings: whether there are any; else the numbers are counts of how often a user had a movie.
    """

    low: float = 0.5
    high: float = _STARS
    step: float = 0.5
    has_ratings: bool = True

    @property
    def width(self) -> float:
        """The width of bins of means: the narrowest of 1, 2.5 or 5 times a power of ten that gives at most 20 bins.

        >>> Scale().width, Scale(0, 1, 1).width, Scale(1, 10, 1).width, Scale(-10, 10, 0.01).width
        (0.25, 0.05, 0.5, 1.0)
        """
        least = (self.high - self.low) / _MOST_BINS
        power = 10.0 ** math.floor(math.log10(least)) if least > 0 else 1.0
        return next((f * power for f in (1, 2.5, 5) if f * power >= least * (1 - 1e-9)), 10 * power)

    @property
    def bins(self) -> float:
        """The width of the bins that ratings are shown in: the step, unless there are too many values for bars.

        >>> Scale().bins, Scale(0, 100, 1).bins
        (0.5, 5.0)
        """
        return self.step if (self.high - self.low) / self.step <= _MOST_BINS else self.width

    @property
    def good(self) -> float:
        """Three quarters of the way up.

        >>> Scale(1, 5, 1).good
        4.0
        """
        return self.low + 0.75 * (self.high - self.low)

    @property
    def middle(self) -> float:
        """The middle, to the nearest second bin of means.

        >>> Scale().middle, Scale(-10, 10, 0.01).middle
        (3.0, 0.0)
        """
        wide = 2 * self.width
        return math.floor((self.low + self.high) / 2 / wide + 0.5) * wide

    @property
    def unit(self) -> str:
        """What a number counts."""
        return "times" if not self.has_ratings else "stars" if self.high == _STARS else "points"

    @property
    def mean(self) -> str:
        """What a mean is called."""
        return "mean rating" if self.has_ratings else "times per user"

    @property
    def row(self) -> str:
        """What one row is called: a rating, or a user and a movie with their count."""
        return "rating" if self.has_ratings else "pair"


COUNTS = Scale(0.0, 0.0, 1.0, has_ratings=False)
