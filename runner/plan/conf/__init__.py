"""The files of `conf/`: found, composed by Hydra, and what is wrong in them."""
