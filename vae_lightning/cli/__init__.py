"""The commands, one small file each. Nothing heavy is imported before work starts, so --help answers at once."""
