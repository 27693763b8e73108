"""Where shards run: in this process, or in worker processes.

An engine maps a store's plan and a job to a file of the store; nothing else crosses.
"""
