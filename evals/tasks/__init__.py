"""One file a benchmark: it reads the official files into samples, and says how they are asked and scored."""
