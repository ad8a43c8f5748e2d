"""The commands, one small file each. Nothing heavy is imported before work starts, so --help answers at once."""

import os

# How long OpenMP's threads spin before they sleep, read when torch is imported: by default for milliseconds, during
# which nobody else has the core. So many turns lose nothing on a quiet machine.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "100000")
