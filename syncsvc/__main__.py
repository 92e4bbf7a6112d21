"""Makes ``python -m syncsvc`` the same as ``syncsvc``."""

from syncsvc.cli import main

if __name__ == "__main__":
    main(prog_name="syncsvc")
