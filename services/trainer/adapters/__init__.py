"""The trainer's ports made real: Parquet in the store, run records, the job's process."""
