"""The machine and its system: errors, files, cores, threads, processes, and what is installed."""
