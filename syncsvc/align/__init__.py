"""One group: what it holds, when it lets go, and what its batch says; pure under one lock."""
