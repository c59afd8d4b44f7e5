"""One module a command of ``python -m studies``; the short ones are in ``studies/__main__.py``."""
