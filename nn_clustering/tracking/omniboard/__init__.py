"""Omniboard, the runs' web page: its process and its columns."""
