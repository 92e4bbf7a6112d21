"""MCAP files that grow by one checked chunk at a time, and are read as far as they are whole, whatever is in them."""
