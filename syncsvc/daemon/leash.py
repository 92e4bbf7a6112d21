"""Starts a program that ends when its parent ends, whatever the program itself thinks of that.

``python -m syncsvc.daemon.leash PARENT_PID PROGRAM ARGUMENT...``: the kernel keeps the order through ``exec``.
"""

import os
import sys

from syncsvc.lifecycle import die_with_parent

if __name__ == "__main__":
    die_with_parent(int(sys.argv[1]))
    os.execv(sys.argv[2], sys.argv[2:])
