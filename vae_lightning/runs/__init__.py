"""What a run is: its config and identity, directory, lock, checkpoints, curves, W&B session and Trainer."""
