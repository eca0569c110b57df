"""From a detector's predictions to a finished run and its numbers.

:mod:`~negas.evaluation.ood_metric` collects predictions in MMEngine's loops; everything after that
(runs, cuts, rows, re-scoring) works on files and arrays, without mm*.
"""
