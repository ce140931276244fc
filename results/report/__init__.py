"""`batchlab report`: everything a store knows in one HTML file that needs no network."""
