"""Makes decisions again from an observation log: to see that they were right, or what others would have given."""
