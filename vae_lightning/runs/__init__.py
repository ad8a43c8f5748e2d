"""What a run is: its name, its directory, its curves, its Trainer."""
