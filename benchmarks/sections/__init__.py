"""The sections of the table, each a function that measures and returns rows."""
