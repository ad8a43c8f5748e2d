"""How fast this framework is beside a bare PyTorch loop, plain Lightning and pythae. Run by ``make bench``."""
