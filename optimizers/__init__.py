"""batchlab.optimizers"""
