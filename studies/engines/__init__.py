"""Engines move parameters to where trials run and bring reports back; they write no study."""
