"""The exact top k of a product of factors, compiled."""
