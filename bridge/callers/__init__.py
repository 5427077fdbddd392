"""Who may call what, how often, and what is written down of it: `--callers` and `--audit`. Pure, but for the files that are read and written."""
