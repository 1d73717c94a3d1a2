"""HTML pages with one look: templates, charts, and the summary of a run."""
