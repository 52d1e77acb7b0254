"""A file for each family of plots and tables; every one makes one section from a survey."""
