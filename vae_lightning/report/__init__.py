"""Finished runs -> summaries, tables, and pages of the lab notebook."""
