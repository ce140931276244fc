"""The page of results: what our recorded runs say of the papers, for somebody who has never seen them."""
