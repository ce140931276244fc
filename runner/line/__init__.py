"""The line that is typed: its options, what Tab completes it to, and what is said of one that there is not."""
