"""What becomes of batches downstream: each sink an ordinary subscriber in a package of its own, with one door."""
