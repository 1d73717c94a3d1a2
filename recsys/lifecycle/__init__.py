"""What spans the stages: what was left undone, and what may be removed."""
