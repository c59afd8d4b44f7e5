"""The engine ``ray``: trials are Ray Tune trials."""
