"""Pages and API over the published tables."""
