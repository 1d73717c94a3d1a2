"""Brings archives from their publishers or mirrors, and verifies them."""
