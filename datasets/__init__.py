"""batchlab.datasets"""
