"""The life of a model version: the gate it must pass, and the record of every decision."""
