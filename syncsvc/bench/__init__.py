"""Measures the service against what it is compared to, and judges it against true times: benchmarks and demo."""
