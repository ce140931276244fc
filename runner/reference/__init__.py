"""The reference pages, written from the code: `make reference`."""
