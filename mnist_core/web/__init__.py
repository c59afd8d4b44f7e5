"""Serving a page on this machine, and refusing what other sites ask."""
