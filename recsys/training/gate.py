"""The gate: a challenger is served only if it beats popularity and the present champion, beyond luck."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Check:
    """One condition of the gate and how it came out."""

    name: str
    passed: bool
    reason: str


@dataclass(frozen=True)
class Decision:
    """What the gate said, and why; every check is listed, passed or not."""

    promote: bool
    checks: list[Check]

    @property
    def reason(self) -> str:
        """One sentence for people: the failed checks, or all of them when none failed."""
        shown = [check for check in self.checks if not check.passed] or self.checks
        return "; ".join(check.reason for check in shown)


def gain_check(opponent: str, metric: str, mean: float, low: float, confidence: float, min_gain: float) -> Check:
    """Beyond luck: the lower bound of the paired gain must exceed `min_gain`. NaN never passes.

    >>> gain_check("popularity", "nDCG@10", 0.02, -0.01, 0.95, 0.0).passed
    False
    """
    passed = low > min_gain
    # A negative `min_gain` is a tolerance that somebody asked for; what passes by it has not beaten anybody.
    verb = ("beats" if low > 0 else "is tolerated beside") if passed else "does not beat"
    return Check(
        f"beats {opponent}",
        passed,
        f"{verb} {opponent}: {metric} {mean:+.4f}, at least {low:+.4f} at {confidence:.0%} confidence, "
        f"more than {min_gain:+.4f} needed",
    )


def loss_check(opponent: str, rmse: float, opponent_rmse: float, max_loss: float) -> Check:
    """Better lists must not come with clearly worse predicted ratings. NaN never passes.

    >>> loss_check("champion", 0.86, 0.85, 0.02).passed
    True
    """
    passed = rmse <= opponent_rmse * (1 + max_loss)
    return Check(
        f"stars no worse than {opponent}",
        passed,
        f"RMSE {rmse:.4f} against {opponent_rmse:.4f} of {opponent}, {max_loss:.0%} worse is tolerated",
    )


def decide(checks: list[Check]) -> Decision:
    """Promote when every check passed; an empty list promotes nothing."""
    return Decision(bool(checks) and all(check.passed for check in checks), checks)
