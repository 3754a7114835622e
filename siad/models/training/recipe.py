"""Parameters of the segmenter's training."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingRecipe:
    """Parameters of training.

    Comments give the change of image AUROC on solar cells, from 200 of them, over two seeds.
    """

    epochs: int = 15  # 30 start to fit the wrong masks: -.01
    train_s: float = 45.0  # limit on slow machines; the learning rate follows the limit that comes first
    batch: int = 16
    rate: float = 2e-3
    defect_share: float = 0.4  # of a batch, while there are defective examples; .25: -.02
    synthetic_share: float = 0.5  # of the good examples that get a synthetic defect; none: -.04, .8: -.01
    image_share: float = 0.2  # of the loss, for the image's own score; .5: -.01, .8: -.03
    unmarked_weight: float = 0.3  # of an unmarked position of a defective image
    refresh_share: float = 0.15  # of the examples that are encoded again in each epoch
    seed: int = 0
