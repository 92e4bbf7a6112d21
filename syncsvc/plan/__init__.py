"""What the daemon and the receiver tell each other, as plain typed values: between both, above neither."""
