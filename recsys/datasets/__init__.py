"""Where ratings come from: the releases by name, their download, their archives, their parsers, the sample."""
