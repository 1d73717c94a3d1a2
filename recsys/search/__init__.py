"""Which hyper-parameters to try, and the cross-validation that judges them."""
