"""batchlab.runner"""
