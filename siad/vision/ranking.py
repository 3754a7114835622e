"""Figures and curves of scores against labels, by scikit-learn and SciPy.

Each function imports its library itself: scikit-learn imports pandas, which takes 1 to 3 s of every start of a stage.

Shape suffixes: N = images or pixels, T = distinct scores.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


def auroc(is_defect_N: ArrayLike, scores_N: ArrayLike) -> float:
    """Area under the ROC curve; ties count half."""
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(is_defect_N, scores_N))


def average_precision(is_defect_N: ArrayLike, scores_N: ArrayLike) -> float:
    """Sum of precision over the steps of recall, without interpolation."""
    from sklearn.metrics import average_precision_score

    return float(average_precision_score(is_defect_N, scores_N))


def precision_and_recall(is_defect_N: ArrayLike, scores_N: ArrayLike) -> tuple[Floats, Floats, Floats]:
    """Precision [T + 1], recall [T + 1] and thresholds [T].

    From the lowest threshold up.
    """
    from sklearn.metrics import precision_recall_curve

    precision, recall, thresholds = precision_recall_curve(is_defect_N, scores_N)
    return precision, recall, thresholds


def roc_rates(is_defect_N: ArrayLike, scores_N: ArrayLike) -> tuple[Floats, Floats]:
    """False-positive rate and true-positive rate, from the highest threshold down."""
    from sklearn.metrics import roc_curve

    false_rate, true_rate, _ = roc_curve(is_defect_N, scores_N)
    return false_rate, true_rate


def rank_correlation(scores_N: ArrayLike, others_N: ArrayLike) -> float:
    """Spearman's correlation of the ranks of two scores, -1..1.

    0 where one of them is the same everywhere: it ranks nothing.
    """
    from scipy.stats import spearmanr

    if np.ptp(np.asarray(scores_N)) == 0 or np.ptp(np.asarray(others_N)) == 0:
        return 0.0
    return float(spearmanr(scores_N, others_N).statistic)
