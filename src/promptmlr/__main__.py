"""`python -m promptmlr` is the command `promptmlr`."""

from promptmlr.cli import main

if __name__ == "__main__":
    main()
