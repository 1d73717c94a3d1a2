"""Spaces of hyper-parameters, strategies that choose candidates, and the cross-validation that evaluates them."""
