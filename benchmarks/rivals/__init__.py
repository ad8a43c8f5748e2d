"""The processes that are timed. Kept empty: the one with pythae has nothing of ours installed."""
