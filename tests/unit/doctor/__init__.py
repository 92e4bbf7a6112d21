"""The doctor's judgement, on simulated cameras whose faults are known."""
