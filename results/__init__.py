"""What came out of the runs: the store, tables, statistics, plots, claims, the report.

`store` and `status` need the standard library only; everything else imports what it needs when it is used.
Nothing here imports torch.
"""
