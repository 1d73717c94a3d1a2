"""Which hyper-parameters to try, the cross-validation that judges them, and the pictures that show what came of it."""
