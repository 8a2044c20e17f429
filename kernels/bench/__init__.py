"""What packing is timed on: cases, their check, the clock. run.py times nothing that verify.py refuses."""
