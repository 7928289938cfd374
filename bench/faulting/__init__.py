"""The fault campaign of `bench/faults.py`: what is done to which commands, and how it is judged."""
