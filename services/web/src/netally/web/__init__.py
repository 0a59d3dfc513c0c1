"""Pages: an HTTP client of the API and nothing else."""
