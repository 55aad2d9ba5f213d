"""A second way of billing, for tests only: plain Python, exact fractions, month by month as a clerk would.

Nothing here may read the models' SQL or anything that the project computes.
"""
