"""Many runs: planned, given to the slots of a machine or to SLURM, watched, and searched by bisection."""
