"""batchlab: does this optimizer, learning-rate schedule or batch-size schedule really help?"""
