"""How frames and words cross process boundaries: a sealed ring, a pipe of descriptors, a channel of messages."""
