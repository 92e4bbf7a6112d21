"""The process in which streams meet: one ingest thread each, one group after the other, one publisher."""
