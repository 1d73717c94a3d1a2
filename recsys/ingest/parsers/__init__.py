"""Reads delimited text row by row: cells, ids, times, and what is faulty."""
