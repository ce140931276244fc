"""One module a paper: `build(frame)` makes its `Reproduction` from runs that carry the paper's labels."""
