"""Numbers from scores: means, intervals, baselines. Standard library only."""
