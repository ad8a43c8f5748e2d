"""The doors: one small file per command. Nothing heavy is imported before work starts, so --help answers at once."""
