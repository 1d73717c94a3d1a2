"""Reads zip files, folders and single files without unpacking them; refuses unsafe names and sizes."""
