"""batchlab.results"""
