"""What a judge is asked about an open answer, who answers, and how verdicts are kept."""
