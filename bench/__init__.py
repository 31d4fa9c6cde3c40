"""Figures with their targets beside: `python -m bench`."""
